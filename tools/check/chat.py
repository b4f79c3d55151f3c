#!/usr/bin/env python3
"""Chat templates against jinja2, set up as transformers does.

    tools/check/chat.py --program PROGRAM [--count N] [--seed S]

PROGRAM is tincture-chat (Tests/Chat). Renders the known shapes of tools/golden/chat_cases.py with every conversation, then
N random templates with random conversations. Wherever jinja2 gives a text ours must give the same; where jinja2 refuses,
ours must refuse. Ours may refuse as unsupported what jinja2 renders, but of random templates no more than a twentieth.
Exit status 1 with the first template that differs.
"""

import argparse
import collections
import json
import random
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "golden"))
import chat_cases  # noqa: E402

WORDS = ["", "a", "user", "Hello World", "x\ny", "  pad ", "ÀÉß ǆ", "ΑΣ ΣΑΣ.", "日本 語", "\U0001F600e\u0301", "it's", 'q"q', "a,b,,c", "a<b-c (d",
         "TITLE case", "\t", "12", " -7 ", "3.5", "1e3", "</think>", "%", "ﬁﬂ", "İı", "\u00a0n\u2028l\x1c", "back\\slash"]
NAMES = ["a", "b", "c", "text", "n"]
ATTRIBUTES = ["role", "content", "type", "missing"]


class Maker:
    """Makes random templates: mostly sensible types, so that most of them render."""

    def __init__(self, random_source):
        self.random = random_source
        self.inside_loop = 0

    def pick(self, *choices):
        return self.random.choice(choices)()

    def literal(self):
        word = self.random.choice(WORDS)
        quote = self.random.choice("'\"")
        out = []
        for character in word:
            if character in (quote, "\\"):
                out.append("\\" + character)
            elif character == "\n" and self.random.random() < 0.7:
                out.append("\\n")
            elif ord(character) > 126 and self.random.random() < 0.2:
                out.append("\\u%04x" % ord(character) if ord(character) < 0x10000 else "\\U%08x" % ord(character))
            else:
                out.append(character)
        if self.random.random() < 0.05:
            out.append(self.random.choice(["\\t", "\\x41", "\\101", "\\q", "\\é", "\\'", "\\\\"]))
        return quote + "".join(out) + quote

    def string(self, depth):
        if depth <= 0:
            return self.pick(self.literal, lambda: self.random.choice(["bos_token", "m.role", "messages[0].role", "text"]))
        d = depth - 1
        return self.pick(
            self.literal,
            lambda: "text",
            lambda: "messages[%s]['%s']" % (self.integer(0), self.random.choice(["role", "content"])),
            lambda: "(%s + %s)" % (self.string(d), self.string(d)),
            lambda: "%s ~ %s" % (self.any(d), self.any(d)),
            lambda: "(%s)[%s]" % (self.string(d), self.slice(d)),
            lambda: "(%s)[%s]" % (self.string(d), self.integer(d)),
            lambda: "(%s if %s else %s)" % (self.string(d), self.boolean(d), self.string(d)),
            lambda: "(%s)|%s" % (self.string(d), self.random.choice(
                ["upper", "lower", "trim", "title", "capitalize", "string", "reverse", "first", "last", "indent", "indent(2, true)",
                 "default('d')", "d", "replace('a', 'b')", "replace(' ', '', 2)", "trim('a ')", "indent('> ', blank=true)", "tojson"])),
            lambda: "(%s).%s" % (self.string(d), self.random.choice(
                ["strip()", "lstrip()", "rstrip('\\n ')", "upper()", "lower()", "title()", "capitalize()", "replace('l', 'LL')",
                 "replace('', '-', 3)", "split('a')[0]", "split()[-1]", "rsplit(',', 1)[-1]", "removeprefix('a')", "removesuffix('e')",
                 "split(' ', 1)[0]", "split(sep=',')[-1]", "join(['x', 'y'])", "splitlines()[0]"])),
            lambda: "(%s)|join(%s)" % (self.list(d), self.literal()),
            lambda: "(%s)|tojson%s" % (self.any(d), self.random.choice(["", "", "(indent=2)", "(ensure_ascii=true)", "(sort_keys=true)",
                                                                      "(separators=(',', ':'))"])),
            lambda: "(%s)|string" % self.any(d),
            lambda: "(%s * %s)" % (self.string(d), self.random.choice(["0", "1", "2", "-1"])),
            lambda: "say(%s)" % self.any(d),
        )

    def integer(self, depth):
        if depth <= 0:
            return str(self.random.choice([0, 0, 1, 1, 2, 3, -1, -2, 7, 100]))
        d = depth - 1
        return self.pick(
            lambda: self.integer(0),
            lambda: "n",
            lambda: "(%s %s %s)" % (self.integer(d), self.random.choice(["+", "-", "*", "//", "%"]), self.integer(d)),
            lambda: "(%s)|length" % self.pick(lambda: self.string(d), lambda: self.list(d), lambda: self.mapping(d)),
            lambda: "(%s)|int" % self.any(d),
            lambda: "-%s" % self.integer(0).lstrip("-"),
            lambda: "(%s)|abs" % self.integer(d),
            lambda: "(%s).count('a')" % self.string(d),
            lambda: "(%s).find('o')" % self.string(d),
            lambda: "loop.%s" % self.random.choice(["index", "index0", "revindex", "revindex0", "length"]) if self.inside_loop else "1",
        )

    def number(self, depth):
        return self.pick(
            lambda: self.integer(depth), lambda: self.random.choice(["1.5", "0.25", "1e3", "2.0", "1e-7", "123456789.125"]),
            lambda: "(%s / %s)" % (self.integer(depth - 1), self.integer(depth - 1)), lambda: "(%s)|float" % self.any(depth - 1))

    def boolean(self, depth):
        if depth <= 0:
            return self.random.choice(["true", "false", "add_generation_prompt", "True"])
        d = depth - 1
        return self.pick(
            lambda: self.boolean(0),
            lambda: "not %s" % self.boolean(d),
            lambda: "(%s %s %s)" % (self.boolean(d), self.random.choice(["and", "or"]), self.boolean(d)),
            lambda: "(%s %s %s)" % (self.any(d), self.random.choice(["==", "!="]), self.any(d)),
            lambda: "(%s %s %s)" % (self.number(d), self.random.choice(["<", "<=", ">", ">="]), self.number(d)),
            lambda: "(%s %s %s)" % (self.string(d), self.random.choice(["<", "<=", ">", ">="]), self.string(d)),
            lambda: "(%s < %s <= %s)" % (self.integer(d), self.integer(d), self.integer(d)),
            lambda: "(%s %s %s)" % (self.string(d), self.random.choice(["in", "not in"]), self.string(d)),
            lambda: "(%s %s %s)" % (self.any(d), self.random.choice(["in", "not in"]), self.list(d)),
            lambda: "(%s in %s)" % (self.string(d), self.mapping(d)),
            lambda: "(%s).%s" % (self.string(d), self.random.choice(["startswith('a')", "endswith(('o', 'd'))", "isspace()"])),
            lambda: "(%s is %s%s)" % (self.any(d), self.random.choice(["", "not "]), self.random.choice(
                ["defined", "undefined", "none", "string", "iterable", "mapping", "number", "sequence", "boolean", "true", "false", "integer",
                 "float", "equalto(1)", "eq 'user'", "in ['user', 1]", "sameas(true)", "callable"])),
            lambda: "(%s is %s)" % (self.integer(d), self.random.choice(["odd", "even", "divisibleby 3", "divisibleby(2)", "gt 1", "lt(2)"])),
            lambda: "(%s is %s)" % (self.string(d), self.random.choice(["upper", "lower"])),
            lambda: "loop.%s" % self.random.choice(["first", "last"]) if self.inside_loop else "false",
        )

    def list(self, depth):
        if depth <= 0:
            return self.random.choice(["messages", "[]", "[1, 'a', none]", "('x', 'y')", "[messages[0].content]"])
        d = depth - 1
        return self.pick(
            lambda: self.list(0),
            lambda: "[%s]" % ", ".join(self.any(d) for _ in range(self.random.randrange(4))),
            lambda: "(%s,)" % self.any(d),
            lambda: "(%s)[%s]" % (self.list(d), self.slice(d)),
            lambda: "(%s + %s)" % (self.list(d), self.list(d)),
            lambda: "(%s).split(%s)" % (self.string(d), self.random.choice(["", "','", "' ', 1", "none, 1"])),
            lambda: "(%s)|list" % self.pick(lambda: self.list(d), lambda: self.string(d), lambda: self.mapping(d)),
            lambda: "range(%s)" % self.random.choice(["3", "1, 4", "5, 0, -2", "n"]),
            lambda: "messages|%sattr(%s)|list" % (self.random.choice(["select", "reject"]), self.random.choice(
                ["'role', 'equalto', 'user'", "'content'", "'missing', 'defined'", "'role', 'in', ['user']"])),
            lambda: "(%s)|map(%s)|list" % (self.list(d), self.random.choice(["'string'", "'upper'", "attribute='role'", "'length'"])),
            lambda: "(%s)|%s(%s)|list" % (self.list(d), self.random.choice(["select", "reject"]), self.random.choice(["", "'string'", "'none'"])),
            lambda: "(%s)|reverse|list" % self.list(d),
            lambda: "(%s).%s()|list" % (self.mapping(d), self.random.choice(["items", "keys", "values"])),
            lambda: "(%s)|%s|list" % (self.mapping(d), self.random.choice(["items", "dictsort"])),
        )

    def mapping(self, depth):
        if depth <= 0:
            return self.random.choice(["messages[0]", "{}", "{'role': 'x'}", "dict(a=1)"])
        d = depth - 1
        return self.pick(
            lambda: self.mapping(0),
            lambda: "{%s}" % ", ".join("%s: %s" % (self.literal(), self.any(d)) for _ in range(self.random.randrange(4))),
            lambda: "dict(%s, b=%s)" % (self.mapping(d), self.any(d)),
            lambda: "(%s)[%s]" % (self.list(d), self.integer(0)),
        )

    def any(self, depth):
        choice = self.random.random()
        if choice < 0.4:
            return self.string(depth)
        if choice < 0.55:
            return self.number(depth)
        if choice < 0.65:
            return self.boolean(depth)
        if choice < 0.78:
            return self.list(depth)
        if choice < 0.86:
            return self.mapping(depth)
        return self.random.choice(
            ["none", "missing", "a", "b", "c", "ns.x", "messages[0].missing", "m", "tools", "messages[0].get('role')",
             "messages[-1].get('z', 3)", "ns['x']", "strftime_now('%d %B %Y, %a %H:%M')", "messages[9]", "(1, 'b').0"])

    def slice(self, depth):
        part = lambda: self.random.choice(["", "", self.integer(depth)])  # noqa: E731
        return self.random.choice(["%s:%s" % (part(), part()), "%s:%s:%s" % (part(), part(), self.random.choice(["", "1", "2", "-1", "-2"]))])

    def space(self):
        return self.random.choice(["", "", "", " ", "\n", "\n\n", "  \n  ", "text ", "\t", " end.\n", "{ ", "}", "{ { ", "%}", "é\n"])

    def tag(self, body):
        return "%s{%%%s %s %s%%}%s" % (self.space(), self.random.choice(["", "", "-", "+"]), body, self.random.choice(["", "", "-", "+"]),
                                       self.space())

    def value(self, depth):
        return "%s{{%s %s %s}}%s" % (self.space(), self.random.choice(["", "-"]), self.any(depth), self.random.choice(["", "-"]), self.space())

    def statements(self, depth):
        return "".join(self.statement(depth) for _ in range(self.random.randrange(1, 4)))

    def statement(self, depth):
        if depth <= 0:
            return self.value(2)
        d = depth - 1
        choice = self.random.randrange(13)
        if choice < 4:
            return self.value(self.random.randrange(1, 4))
        if choice == 4:
            text = self.tag("if " + self.boolean(2)) + self.statements(d)
            if self.random.random() < 0.4:
                text += self.tag("elif " + self.any(1)) + self.statements(d)
            if self.random.random() < 0.5:
                text += self.tag("else") + self.statements(d)
            return text + self.tag("endif")
        if choice in (5, 6):
            head = self.random.choice(["for m in messages", "for m in " + self.list(2), "for k, b in (%s).items()" % self.mapping(1),
                                       "for m in messages if m.role == 'user'", "for m in messages[::-1]", "for a in " + self.string(1)])
            self.inside_loop += 1
            text = self.tag(head) + self.statements(d)
            if self.random.random() < 0.2:
                text += self.tag("if " + self.boolean(1)) + self.tag(self.random.choice(["break", "continue"])) + self.tag("endif")
                text += self.statements(d)
            self.inside_loop -= 1
            if self.random.random() < 0.2:
                text += self.tag("else") + self.statements(d)
            return text + self.tag("endfor")
        if choice in (7, 8):
            target = self.random.choice(NAMES[:3] + ["ns.x", "text", "a, b"])
            kind = {"text": self.string, "a, b": lambda d: "(%s, %s)" % (self.any(d), self.any(d))}.get(target, self.any)
            return self.tag("set %s = %s" % (target, kind(2)))
        if choice == 9:
            body, self.inside_loop = self.inside_loop, 0
            text = self.tag(self.random.choice(["set text", "set text | upper", "set a | trim | length"])) + self.statements(d) + self.tag("endset")
            self.inside_loop = body
            return text
        if choice == 10:
            return "%s{#%s note %s#}%s" % (self.space(), self.random.choice(["", "-", "+"]), self.random.choice(["", "-", "+"]), self.space())
        if choice == 11:
            body, self.inside_loop = self.inside_loop, 0
            head, end = self.random.choice([("generation", "endgeneration"), ("with a = 1, c = 'w'", "endwith"), ("filter upper", "endfilter")])
            text = self.tag(head) + self.statements(d) + self.tag(end)
            self.inside_loop = body
            return text
        return self.space() + self.random.choice(["{% raw %}", "{%- raw -%}"]) + " {{ raw }} {% x " + self.space() + self.random.choice(
            ["{% endraw %}", "{%- endraw -%}", "{%+ endraw +%}"]) + self.space()

    def template(self):
        head = "{% set ns = namespace(x=1) %}{% set text = 'ab\\ncd' %}{% set n = 2 %}"
        head += "{% macro say(x, y='dflt') %}[{{ x }}{{ y }}]{% endmacro %}"
        return head + self.statements(3)

    def conversation(self):
        messages = []
        for index in range(self.random.randrange(1, 5)):
            content = self.random.choice(WORDS)
            if self.random.random() < 0.15:
                content = [{"type": "text", "text": self.random.choice(WORDS)} for _ in range(self.random.randrange(3))]
            messages.append({"role": self.random.choice(["user", "assistant", "system"]), "content": content})
        return messages


def run(program, cases):
    """Our answers to (template, messages, add_generation_prompt, variables)."""
    lines = [json.dumps({"template": t, "messages": m, "add_generation_prompt": a, "variables": v}) for t, m, a, v in cases]
    done = subprocess.run([program], input="\n".join(lines) + "\n", capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{program} ended with {done.returncode}: {done.stderr[:500]}")
    answers = done.stdout.split("\n")[:-1]
    if len(answers) != len(cases):
        raise SystemExit(f"{program} gave {len(answers)} answers to {len(cases)} templates")
    return [json.loads(answer) for answer in answers]


def compare(environment, program, cases, strict):
    counts = collections.Counter()
    for case, answer in zip(cases, run(program, cases)):
        template, messages, add, variables = case
        expected = chat_cases.render(environment, template, messages, add, variables)
        error = answer.get("error")
        if expected is not None and error == "chat.template.unsupported" and not strict:
            counts["unsupported"] += 1
            counts["unsupported: " + answer["message"].split("] ")[1].split(";")[0]] += 1
        elif expected != answer.get("text"):
            print(json.dumps({"template": template, "messages": messages, "variables": variables}, ensure_ascii=False))
            print(template)
            print("jinja2:", repr(expected) if expected is not None else f"refuses: {chat_cases.render.error!r}")
            print("ours:  ", repr(answer.get("text")) if error is None else answer["message"])
            raise SystemExit("a template differs from jinja2")
        else:
            counts["equal" if expected is not None else "refused by both"] += 1
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    environment = chat_cases.environment()
    known = compare(environment, options.program, [case[1:] for case in chat_cases.cases()], strict=True)
    print(f"known shapes: {known['equal']} equal, {known['refused by both']} refused by both")
    total = collections.Counter()
    for start in range(0, options.count, 2_000):
        maker = Maker(random.Random(f"{options.seed}/{start}"))
        cases = [(maker.template(), maker.conversation(), maker.random.random() < 0.5, maker.random.choice(chat_cases.VARIABLES))
                 for _ in range(min(2_000, options.count - start))]
        total += compare(environment, options.program, cases, strict=False)
    print(f"random templates: {total['equal']} equal, {total['refused by both']} refused by both, {total['unsupported']} unsupported here")
    for reason, count in total.most_common():
        if reason.startswith("unsupported: "):
            print(f"  {count:6} {reason[13:]}")
    if total["equal"] < options.count // 4:
        raise SystemExit("too few random templates render: the check proves little")
    if total["unsupported"] * 20 > options.count:
        raise SystemExit("more than a twentieth of the random templates is unsupported")


if __name__ == "__main__":
    main()
