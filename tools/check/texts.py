"""Texts of the real-model checks and benchmarks, the same on every machine: all written for this repository.

PROMPT is prose in eight languages, over 1,500 tokens of Gemma's; notes(count) makes clinical notes from written phrases by
a seeded generator; sentences(count) short ones for encoders.
"""

PROMPT = """\
The clinic stands at the end of a gravel road, two hours from the nearest hospital. In winter the road closes for days, \
and then the three nurses and one physician who work there have only each other, a small laboratory, an old X-ray machine \
and whatever they remember. On the wall of the waiting room hangs a map of the district, with pins for every family that \
lives further than an hour's walk away. Nobody removed the pins of the families that moved; the physician says they \
remind her that people come back.

On a Tuesday in February a farmer brought in his mother. She was seventy-eight years old and had been coughing for nine \
days. Her temperature was 38.6 °C, her pulse 104 per minute and irregular, blood pressure 142/88 mmHg, respiratory rate 24, \
oxygen saturation 91 % on room air. She took metoprolol 50 mg twice a day, ramipril 5 mg in the morning and, as it turned \
out after some questions, her neighbour's furosemide whenever her ankles were swollen. There were fine crackles over the \
right lower lobe. The X-ray showed an infiltrate there and a small effusion that blunted the costophrenic angle. The heart \
was at the upper limit of normal size.

The physician wrote: "Community-acquired pneumonia, right lower lobe (J18.1). Atrial fibrillation, rate 100-110, not known \
before (I48.91). CRB-65 score 1. Amoxicillin 1 g three times daily; stop the furosemide that is not hers; repeat potassium \
and creatinine tomorrow. If saturation falls below 90 %, call for transport, and do not wait for the road." Then she sat down \
with the son and explained what each of these things meant, why the tablets of a neighbour can be dangerous, and what he \
should look for during the night.

Der Sohn hörte zu und schrieb alles in ein kleines Heft. Er war in Bremen aufgewachsen und sprach noch immer am liebsten \
Deutsch, wenn er müde war. »Wie lange wird sie hierbleiben müssen?«, fragte er. Die Ärztin antwortete, dass man das erst nach \
zwei oder drei Tagen sagen könne: Wenn das Fieber sinkt und die Sättigung ohne Sauerstoff über 92 % bleibt, darf sie nach \
Hause; wenn nicht, müsse sie ins Krankenhaus verlegt werden. Außerdem solle in vier bis sechs Wochen noch einmal geröntgt \
werden, damit nichts übersehen wird, was sich hinter der Entzündung versteckt haben könnte.

Ночью подморозило, и к утру дорога стала скользкой. Медсестра, дежурившая у постели, каждые два часа записывала \
температуру, пульс и насыщение крови кислородом. В три часа ночи больная попросила воды и спросила, который час; в пять она \
уже спала спокойно, и кашель стал влажным. Утром врач сравнила анализы: калий 3,4 ммоль/л, креатинин 98 мкмоль/л, \
С-реактивный белок 126 мг/л. «Ничего страшного, — сказала она, — но калий надо восполнить, прежде чем мы решим, что делать с \
ритмом». Сын кивнул и впервые за двое суток выпил чаю.

Науқастың жағдайы үшінші күні жақсара бастады. Дене қызуы қалыпқа түсіп, тәбеті ашылды. Дәрігер өкпесін қайта тыңдап, \
сырылдардың азайғанын айтты. Медбике оған тыныс алу жаттығуларын үйретті: терең дем алып, ақырын шығару керек. Кешке қарай \
немересі телефон шалып, әжесінің даусын естігенде қуанып кетті.

No fim da semana chegou uma estudante de medicina, vinda do Porto, que queria saber como se trabalha longe das grandes \
cidades. A médica mostrou-lhe o caderno de registos, a caixa dos medicamentos e o velho aparelho de raios X. «O mais difícil», \
disse ela, «não é a falta de aparelhos. É decidir sozinha, às quatro da manhã, se alguém pode esperar até amanhã.» A \
estudante anotou a frase e, por baixo, a dose de amoxicilina para uma criança de doze quilos: 80 a 90 mg/kg por dia, \
divididos em duas tomas.

अगले दिन गाँव से एक बच्चा आया जिसे दो दिन से दस्त और उल्टी हो रही थी। उसकी आँखें धँसी हुई थीं और त्वचा सूखी थी। डॉक्टर ने पहले उसका \
वज़न लिया, फिर माँ को समझाया कि घोल कैसे बनाना है और कितनी-कितनी देर में पिलाना है। शाम तक बच्चा हँसने लगा।

老医生退休以前，常常对学生说：“先看病人，再看片子。”他们当时不太明白这句话的意思。后来有一次，胸片上看起来一切正常，病人却呼吸急促、\
嘴唇发紫，大家才想起他的话。检查结果是肺栓塞。从那以后，每个学生都会在打开电脑之前先走到床边，问一声：“您今天感觉怎么样？”

A short list was left on the desk for the weekend shift:
1. Bed 2 — potassium at 18:00, target above 4.0 mmol/L; ECG if the rate exceeds 120.
2. Bed 4 — wound check, change of dressing, tetanus status unknown → give the booster.
3. Bed 5 — HbA1c 9.2 %, metformin 2 × 1000 mg, start insulin glargine 10 IU at night? Discuss with Dr. Müller first!
4. The refrigerator alarm is broken again (see the log: 2.1 °C, 7.9 °C, 8.3 °C ...). 🙏 Please check it twice a day.

    def anion_gap(sodium, chloride, bicarbonate):
        \"\"\"All in mmol/L; normal is 8 to 12 without potassium.\"\"\"
        return sodium - (chloride + bicarbonate)

The last lines had been written by the student, who had found a spreadsheet full of mistakes and replaced it. Below them \
somebody had added in pencil: "And who checks the one who checks?" The physician laughed when she read it, and then she \
thought about it for a while, for it was not a bad question. In a place like this every number passes through three pairs of \
hands, and each of them can be tired. So they agreed on a rule: a dose is read aloud by one and repeated by another, and \
nothing is given before both have said the same thing. It cost them half a minute each time. Within a month it had caught \
four errors, one of which would have been a tenfold overdose of digoxin. When spring came and the road opened again, the \
old woman walked into the waiting room on her son's arm, with a basket of eggs and a letter from the hospital. The second \
X-ray was clear. Her pulse was regular, 68 per minute. She pointed at the map on the wall and asked which of the pins was \
hers, and when she had found it she pressed it a little deeper into the wood.
"""


class Numbers:
    """A linear congruential generator (Knuth's MMIX constants), upper 31 bits: the same numbers with every Python."""

    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % limit

    def of(self, choices):
        return choices[self.below(len(choices))]


LANGUAGES = {
    "en": {
        "who": ["A {age}-year-old woman", "A {age}-year-old man", "This {age}-year-old patient",
                "The patient, {age} years old,"],
        "came": ["presents with {sign} for {days} days", "was admitted because of {sign}, which began {days} days ago",
                 "reports {sign} and {sign} since {days} days", "returns to the clinic {days} days after discharge with {sign}"],
        "sign": ["shortness of breath", "fever and chills", "chest pain on exertion", "a productive cough", "swollen ankles",
                 "abdominal pain", "dizziness when standing up", "blurred vision", "painful urination", "a rash on both arms"],
        "past": ["Past history: {illness}, {illness}.", "Known {illness}; no allergies.", "There is a history of {illness}."],
        "illness": ["type 2 diabetes (E11.9)", "hypertension (I10)", "COPD (J44.1)", "atrial fibrillation (I48.91)",
                    "chronic kidney disease stage 3 (N18.3)", "asthma", "hypothyroidism (E03.9)", "gout"],
        "found": ["On examination: BP {sys}/{dia} mmHg, pulse {pulse}/min, temperature {temp} °C, SpO2 {sat} % on room air.",
                  "Laboratory: CRP {crp} mg/L, creatinine {crea} µmol/L, potassium {pot} mmol/L, haemoglobin {hb} g/dL.",
                  "The chest X-ray shows {image}.", "ECG: sinus rhythm, {pulse}/min, no ST elevation."],
        "image": ["no acute findings", "a small pleural effusion on the left", "an infiltrate in the right lower lobe",
                  "cardiomegaly with congestion", "a calcified nodule of 4 mm, unchanged"],
        "plan": ["Plan: {drug} {dose} mg {times}; follow-up in {days} days.", "We start {drug} {dose} mg {times}.",
                 "{drug} is stopped, because the creatinine has risen; {drug} {dose} mg {times} instead."],
        "drug": ["metformin", "ramipril", "amoxicillin", "furosemide", "metoprolol", "apixaban", "prednisolone"],
        "times": ["once daily", "twice daily", "three times a day with meals", "at night"]},
    "de": {
        "who": ["Eine {age}-jährige Patientin", "Ein {age}-jähriger Patient"],
        "came": ["stellt sich wegen {sign} vor, Beginn vor {days} Tagen", "klagt seit {days} Tagen über {sign}",
                 "wurde mit {sign} und {sign} eingewiesen"],
        "sign": ["Atemnot", "Fieber und Schüttelfrost", "Schmerzen in der Brust", "Husten mit Auswurf", "Übelkeit",
                 "geschwollenen Beinen", "Schwindel beim Aufstehen"],
        "past": ["Vorerkrankungen: {illness}, {illness}.", "Bekannt ist {illness}; keine Allergien."],
        "illness": ["Diabetes mellitus Typ 2", "arterielle Hypertonie", "Vorhofflimmern", "Asthma bronchiale",
                    "Niereninsuffizienz im Stadium 3"],
        "found": ["Befund: RR {sys}/{dia} mmHg, Puls {pulse}/min, Temperatur {temp} °C, Sättigung {sat} %.",
                  "Labor: CRP {crp} mg/l, Kreatinin {crea} µmol/l, Kalium {pot} mmol/l.", "Das Röntgenbild zeigt {image}."],
        "image": ["keinen akuten Befund", "einen kleinen Pleuraerguss links", "ein Infiltrat im rechten Unterlappen"],
        "plan": ["Therapie: {drug} {dose} mg {times}, Kontrolle in {days} Tagen.", "Wir beginnen mit {drug} {dose} mg {times}."],
        "drug": ["Metformin", "Ramipril", "Amoxicillin", "Torasemid", "Bisoprolol"],
        "times": ["einmal täglich", "zweimal täglich", "zur Nacht"]},
    "ru": {
        "who": ["Пациентка, {age} лет,", "Пациент, {age} лет,"],
        "came": ["жалуется на {sign} в течение {days} дней", "поступает с жалобами на {sign} и {sign}",
                 "повторно обратилась через {days} дней: {sign}"],
        "sign": ["одышку", "кашель с мокротой", "боль в груди", "головокружение", "озноб и слабость", "отёки голеней"],
        "past": ["В анамнезе: {illness}, {illness}.", "Известно: {illness}; аллергии нет."],
        "illness": ["сахарный диабет 2 типа", "артериальная гипертензия", "фибрилляция предсердий", "бронхиальная астма"],
        "found": ["Объективно: АД {sys}/{dia} мм рт. ст., пульс {pulse} в минуту, температура {temp} °C, сатурация {sat} %.",
                  "Анализы: СРБ {crp} мг/л, креатинин {crea} мкмоль/л, калий {pot} ммоль/л.", "На рентгенограмме {image}."],
        "image": ["без свежих изменений", "инфильтрат в нижней доле справа", "небольшой выпот слева"],
        "plan": ["Назначено: {drug} {dose} мг {times}, осмотр через {days} дней.", "Начато лечение: {drug} {dose} мг {times}."],
        "drug": ["метформин", "рамиприл", "амоксициллин", "фуросемид", "бисопролол"],
        "times": ["один раз в день", "два раза в день", "на ночь"]},
}


def filled(numbers, words, pattern):
    """A pattern with every {word} replaced, words inside words too."""
    values = {"age": lambda: 19 + numbers.below(75), "days": lambda: 2 + numbers.below(26),
              "sys": lambda: 95 + numbers.below(95), "dia": lambda: 55 + numbers.below(50),
              "pulse": lambda: 52 + numbers.below(80), "temp": lambda: f"{36 + numbers.below(4)}.{numbers.below(10)}",
              "sat": lambda: 84 + numbers.below(16), "crp": lambda: 1 + numbers.below(240),
              "crea": lambda: 55 + numbers.below(260), "pot": lambda: f"{3 + numbers.below(3)}.{numbers.below(10)}",
              "hb": lambda: f"{8 + numbers.below(8)}.{numbers.below(10)}", "dose": lambda: numbers.of([5, 10, 20, 40, 500, 850])}
    while "{" in pattern:
        before, _, rest = pattern.partition("{")
        word, _, after = rest.partition("}")
        pattern = before + str(values[word]() if word in values else numbers.of(words[word])) + after
    return pattern


def note(numbers):
    words = LANGUAGES[numbers.of(["en", "en", "en", "de", "ru"])]
    parts = [filled(numbers, words, numbers.of(words["who"]) + " " + numbers.of(words["came"]) + ".")]
    for kind in ["past", "found", "found", "plan"][numbers.below(2):]:
        parts.append(filled(numbers, words, numbers.of(words[kind])))
    return " ".join(parts)


def notes(count, seed=1):
    numbers = Numbers(seed)
    return [note(numbers) for _ in range(count)]


def long_text(count):
    """The prose, then `count` notes: what llama-perplexity and tincture are compared on."""
    return PROMPT + "\n".join(notes(count))


def sentences(count, seed=2):
    """Single sentences: the written prose first, then parts of notes."""
    numbers, found = Numbers(seed), []
    for paragraph in PROMPT.split("\n"):
        text = paragraph.strip()
        for part in text.replace("? ", "?\n").replace(". ", ".\n").replace("! ", "!\n").split("\n"):
            if 12 <= len(part) <= 300:
                found.append(part)
    while len(found) < count:
        words = LANGUAGES[numbers.of(["en", "en", "de", "ru"])]
        made = filled(numbers, words, numbers.of(words[numbers.of(["past", "found", "plan", "came"])]))
        if made not in found:
            found.append(made)
    return found[:count]
