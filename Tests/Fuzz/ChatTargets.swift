import TinctureCore
import TinctureText

extension FuzzTarget {
  private static let conversation = [
    ChatMessage(role: "system", content: "Be brief."),
    ChatMessage(role: "user", content: .parts([" one ", "two"])),
    ChatMessage(role: "assistant", content: "<think>\nhm\n</think>e\u{301}"),
  ]

  /// Steps a damaged template may take; what it makes is bounded by them too.
  private static let steps = 20_000

  static let chatTemplate = FuzzTarget(
    name: "chat-template",
    seeds: [
      """
      {{ bos_token }}{%- set ns = namespace(n=0, last=messages|length - 1) -%}
      {%- for m in messages[::-1] if m.role != 'tool' %}{% set ns.n = ns.n + 1 %}
      {{- loop.index0 ~ (m['content'] if m.content is string else m.content[0].text|trim) }}
      {% if loop.last and not ns.n % 2 == 0 %}{% break %}{% elif not m %}{% continue %}{% endif %}
      {% else %}{{ raise_exception('none') }}{% endfor %}
      """,
      """
      {% macro say(x, y='a') -%}{{ x.split('</think>')[-1].lstrip('\\n') + y }}{%- endmacro %}
      {# note #}{% raw %}{{ x }}{% endraw %}{% set t %}{{ say(messages[2].content) }}{% endset %}
      {{ t|replace('h', 'H')|upper|indent(2, true) }}{{ messages|tojson(indent=2) }}
      {% generation %}{{ {'k': [1, 2.5, none, (true,)]}|string|title }}{% endgeneration %}
      """,
      """
      {{ messages|selectattr('role', 'equalto', 'user')|map(attribute='role')|join(', ') }}
      {%+ filter lower %}{% with a = 3 // 2, b = -7 % 3 %}{{ [a, b, 2 ** 5, 1e3 / 3]|list|last }}{% endwith %}
      {% endfilter %}{{ 'x' * 9 in 'xx' or 1 < 2 <= 3 and range(5)|reverse|first }}
      {{ strftime_now('%d %b %Y') }}{{ dict(a=1).items()|list }}{{ messages[0].get('z', 'd')|default('', true) }}
      """,
    ].map { Array($0.utf8) },
    words: [
      "{{", "}}", "{%", "%}", "{#", "#}", "-%}", "{%-", "{%+", " if ", " else ", " for x in ",
      "{% endfor %}", "{% endif %}", "{% set x = ", "{% macro f(x) %}", "{% endmacro %}", "f(x)",
      "messages", "loop.last", "|", "|tojson", "|list", "|length", "|join", " is ", " not ", " in ",
      "[::-1]", "[-1]", "(", ")", "[", "]", "{", "}", "'", "\"", "\\", "**", "//", "~", "==",
      "range(99999)", "* 99999", "ns.x", "{% raw %}", "{% endraw %}", "\r\n", "é",
    ],
    // Words and nodes of the parsed template; beside them what the steps can make.
    memoryFactor: 128,
    fixedMemory: 400_000,
    run: { bytes throws(TinctureError) in
      let template = try ChatTemplate(source: bytes, name: "fuzz")
      let text = try template.render(
        messages: conversation, addGenerationPrompt: true, bosToken: "<s>", eosToken: "</s>",
        variables: ["enable_thinking": .bool(false)],
        now: CalendarTime(year: 2024, month: 7, day: 6),
        fuel: steps)
      return min(text.utf8.count / 16, 31)
    })

  static let prompts = FuzzTarget(
    name: "prompts",
    seeds: [
      """
      {"text": "caf\\u00e9"}

      {"ids": [2, 0, 262143]}
      {"messages": [{"role": "system", "content": "a"},
      """ + #" {"content": [{"type": "text", "text": "b"}], "role": "user"}]}"#
    ].map { Array($0.utf8) },
    words: [
      "\n", "{", "}", "[", "]", "\"text\"", "\"messages\"", "\"ids\"", "\"role\"", "\"content\"",
      "\"type\"", ":", ",", "-1", "2147483648", "null",
    ],
    // Each line's nodes, and its prompt.
    memoryFactor: 32,
    run: { bytes throws(TinctureError) in
      let file = try PromptFile(bytes, path: "fuzz")
      return min(file.prompts.count, 7)
    })
}
