import Foundation
import Testing
import TinctureCore
import TinctureTestSupport
import TinctureText

@Suite("Chat templates") struct ChatTemplateTests {
  static func render(
    _ template: String, _ messages: [ChatMessage] = [ChatMessage(role: "user", content: "Hi")],
    add: Bool = true, variables: [String: ChatTemplate.Variable] = [:], now: CalendarTime? = nil
  ) throws -> String {
    try ChatTemplate(source: Array(template.utf8), name: "t.jinja").render(
      messages: messages, addGenerationPrompt: add, bosToken: "<bos>", eosToken: "<eos>",
      variables: variables, now: now)
  }

  struct Golden {
    var templates: [String: String] = [:]
    var conversations: [String: [ChatMessage]] = [:]
    var variables: [[String: ChatTemplate.Variable]] = []
    var now: CalendarTime?
    var texts: [(name: String, text: String?)] = []

    init() throws {
      let path = "golden/tokens/chat/cases.json"
      let root = try JSON.parse(Array(Repository.contents(path)), file: path)
      for (key, value) in try root.member("templates").object() {
        templates[try key.string()] = try value.string()
      }
      for (key, value) in try root.member("conversations").object() {
        conversations[try key.string()] = try ChatMessage.conversation(value)
      }
      for node in try root.member("variables").array() {
        var set: [String: ChatTemplate.Variable] = [:]
        for (key, value) in try node.object() {
          set[try key.string()] =
            switch value.kind {
            case .bool: .bool(try value.bool())
            case .null: ChatTemplate.Variable.none
            default: .string(try value.string())
            }
        }
        variables.append(set)
      }
      let date = try root.member("now").array().map { try $0.int() }
      now = CalendarTime(
        year: date[0], month: date[1], day: date[2], hour: date[3], minute: date[4],
        second: date[5])
      for node in try root.member("texts").array() {
        texts.append(
          (try node.member("case").string(), try node.present("text")?.string()))
      }
    }
  }

  @Test func asTransformersRenders() throws {
    let golden = try Golden()
    #expect(golden.texts.count == 384)
    for (name, expected) in golden.texts {
      let parts = name.split(separator: "/").map(String.init)
      let template = try #require(golden.templates[parts[0]])
      let messages = try #require(golden.conversations[parts[1]])
      let variables = golden.variables[try #require(Int(parts[3]))]
      var found: String?
      do {
        found = try Self.render(
          template, messages, add: parts[2] == "True", variables: variables, now: golden.now)
      } catch let error as TinctureError {
        #expect(
          ["chat.template.raised", "chat.template.value"].contains(error.code.name), "\(name)")
      }
      // By scalars: equality of strings would hide a normalization.
      #expect(
        found.map { Array($0.unicodeScalars) } == expected.map { Array($0.unicodeScalars) },
        "\(name)")
    }
  }

  struct Bad: Sendable, CustomTestStringConvertible {
    var template: String
    var code: String
    var line = 1
    var testDescription: String { template }
  }

  @Test(
    "errors name the line and tell unsupported from invalid",
    arguments: [
      Bad(template: "a\n{{ 1 +", code: "syntax", line: 2),
      Bad(template: "{% if x %}\n\n", code: "syntax", line: 2),
      Bad(template: "\n{% endif %}", code: "syntax", line: 2),
      Bad(template: "{{ (1] }}", code: "syntax"),
      Bad(template: "{{ 'a }}", code: "syntax"),
      Bad(template: "{{ a ! b }}", code: "syntax"),
      Bad(template: "{# a", code: "syntax"),
      Bad(template: "{% raw %} {% endra %}", code: "syntax"),
      Bad(template: "{{ x|nosuch }}", code: "syntax"),
      Bad(template: "{{ x is nosuch }}", code: "syntax"),
      Bad(template: "{% do x %}", code: "syntax"),
      Bad(template: "{% set true = 1 %}", code: "syntax"),
      Bad(template: "{% macro f(a, a) %}{% endmacro %}", code: "syntax"),
      Bad(template: "{{ '\\xZZ' }}", code: "syntax"),
      Bad(template: "{{}}", code: "syntax"),
      Bad(template: "\n\n{% include 'x' %}", code: "unsupported", line: 3),
      Bad(template: "{% import 'os' as os %}", code: "unsupported"),
      Bad(template: "{% extends 'x' %}", code: "unsupported"),
      Bad(template: "{% break %}", code: "unsupported"),
      Bad(template: "{% for x in y recursive %}{% endfor %}", code: "unsupported"),
      Bad(template: "{{ f(*x) }}", code: "unsupported"),
      Bad(template: "{{ 99999999999999999999 }}", code: "unsupported"),
      Bad(template: "\n{{ [1]|sort }}", code: "unsupported", line: 2),
      Bad(template: "{{ ''.__class__.__mro__ }}", code: "unsupported"),
      Bad(template: "{{ ''['__class__'] }}", code: "unsupported"),
      Bad(template: "{{ messages.append(1) }}", code: "unsupported"),
      Bad(template: "{{ messages[0].update({}) }}", code: "unsupported"),
      Bad(template: "{{ '{}'.format(1) }}", code: "unsupported"),
      Bad(template: "{{ '%s' % 1 }}", code: "unsupported"),
      Bad(template: "{{ cycler(1) }}", code: "unsupported"),
      Bad(template: "{{ namespace }}", code: "unsupported"),
      Bad(template: "a\n{{ missing.x }}", code: "value", line: 2),
      Bad(template: "{{ 'a' + 1 }}", code: "value"),
      Bad(template: "{{ 1 < 'a' }}", code: "value"),
      Bad(template: "{{ 1 / 0 }}", code: "value"),
      Bad(template: "{% for x in none %}{% endfor %}", code: "value"),
      Bad(template: "{% set a, b = [1] %}", code: "value"),
      Bad(template: "{{ 'a'() }}", code: "value"),
      Bad(template: "{{ 'abc'[::0] }}", code: "value"),
      Bad(template: "{{ strftime_now('%Y') }}", code: "value"),
      Bad(template: "{{ 9223372036854775807 + 1 }}", code: "limit"),
      Bad(template: "{{ 2 ** 64 }}", code: "limit"),
      Bad(template: "{{ range(1000000) }}", code: "limit"),
      Bad(template: "{{ 'x' * 1000000000000 }}", code: "limit"),
      Bad(template: "\n{{ raise_exception('no') }}", code: "raised", line: 2),
    ])
  func refused(bad: Bad) throws {
    let error = try #require(throws: TinctureError.self) { _ = try Self.render(bad.template) }
    #expect(error.code.name == "chat.template." + bad.code)
    #expect(error.place.key == "line \(bad.line)")
    #expect(error.place.file == "t.jinja")
    let kinds: [String: TinctureError.Kind] = ["unsupported": .unsupported, "limit": .limit]
    #expect(error.code.kind == kinds[bad.code] ?? .invalidInput)
  }

  @Test func theReasonOfTheTemplateIsPassedOn() throws {
    let error = try #require(throws: TinctureError.self) {
      _ = try Self.render("{{ raise_exception('roles must ' ~ 'alternate') }}")
    }
    #expect(error.found == "roles must alternate")
  }

  @Test func branchesNotTakenDoNoHarm() throws {
    let text = try Self.render(
      "{% if tools %}{{ tools|groupby('x')|pprint }}{{ cycler(1) }}{% endif %}ok")
    #expect(text == "ok")
  }

  /// Each would take years, terabytes or the stack without bounds.
  @Test(
    "hostile templates end soon",
    arguments: [
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      "{% set ns = namespace(s='ab') %}{% for a in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
      "{% set ns = namespace(s=[1]) %}{% for a in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
      "{% set ns = namespace(s=[1]) %}{% for a in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
      "{% set ns = namespace(s=[1]) %}{% for a in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s == ns.s }}",
      "{% set ns = namespace(s=[1]) %}{% for a in range(99999) %}{% set ns.s = [ns.s] %}{% endfor %}",
      "{% set ns = namespace(s=1) %}{% for a in range(99999) %}{% set ns.s = {'a': ns.s} %}{% endfor %}",
      "{% set ns = namespace(s=[]) %}{% for a in range(99999) %}{% set ns.s = [ns.s|select] %}{% endfor %}",
      "{% set ns = namespace(s=[]) %}{% for a in range(99999) %}{% set ns.s = dict(a=ns.s) %}{% endfor %}",
      "{% set ns = namespace(s=[]) %}{% for a in range(99999) %}{% set ns.s = namespace(a=ns.s) %}{% endfor %}",
      "{% set ns = namespace(s=1) %}{% for a in range(99999) %}{% for b in [ns.s] %}{% set ns.s = loop %}{% endfor %}{% endfor %}",
      "{% set ns = namespace(s=[1]) %}{% for a in range(99999) %}{% set ns.s = [ns.s].__len__ %}{% endfor %}",
      LongText("{% set x = [] %}" + String(repeating: "{% set x = [x] %}", count: 20_000)),
      "{% set ns = namespace(m=1) %}{% for a in range(9999) %}{% macro f() %}{{ a }}{% endmacro %}{% set ns.m = f %}{% endfor %}",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
      "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x|tojson }}",
      "{{ 'a'|indent(1000000000000) }}", "{{ [[1]]|tojson(indent=1000000000000) }}",
      "{% for a in range(99999) %}{{ ('x' * 9999).replace('x', 'y' * 99).split('y') }}{% endfor %}",
      "{% for a in range(99999) %}{{ ('x' * 99999).split('x')|length }}{% endfor %}",
      "{% for a in range(99999) %}{{ 'y' in 'x' * 99999 }}{% endfor %}",
      LongText(String(repeating: "(", count: 100_000)),
      LongText(
        "{{ " + String(repeating: "(", count: 9999) + "1" + String(repeating: ")", count: 9999)
          + " }}"),
      LongText(
        "{{ " + String(repeating: "[", count: 9999) + "1" + String(repeating: "]", count: 9999)
          + " }}"),
      LongText("{{ " + String(repeating: "not ", count: 9999) + "1 }}"),
      LongText("{{ " + String(repeating: "-", count: 9999) + "1 }}"),
      LongText("{{ 1" + String(repeating: "+1", count: 9999) + " }}"),
      LongText("{{ x" + String(repeating: ".y", count: 9999) + " }}"),
      LongText("{{ x" + String(repeating: "|trim", count: 9999) + " }}"),
      LongText("{{ 1" + String(repeating: " if 1 else 1", count: 9999) + " }}"),
      LongText(String(repeating: "{% if 1 %}", count: 9999)),
      LongText(String(repeating: "{% for x in y %}", count: 9999)),
    ] as [LongText])
  func bounded(template: LongText) throws {
    let start = ContinuousClock.now
    do {
      _ = try Self.render(template.text)
    } catch let error as TinctureError {
      #expect(
        ["limit", "syntax", "value", "unsupported"].contains { error.code.name.hasSuffix($0) })
    }
    #expect(ContinuousClock.now - start < .seconds(20))
  }

  @Test func datesInEveryPart() throws {
    let now = try #require(
      CalendarTime(year: 2024, month: 2, day: 29, hour: 0, minute: 5, second: 9))
    #expect(
      try Self.render(
        "{{ strftime_now('%Y %y %m %-m %d %-d %e %j %H %I %M %S %p %B %b %A %a %F %T %%') }}",
        now: now)
        == "2024 24 02 2 29 29 29 060 00 12 05 09 AM February Feb Thursday Thu 2024-02-29 00:05:09 %"
    )
    let present = try #require(CalendarTime.present())
    let year = Calendar(identifier: .gregorian).component(.year, from: Date())
    #expect(abs(present.year - year) <= 1)
    #expect(CalendarTime(year: 2023, month: 2, day: 29) == nil)
    #expect(CalendarTime(year: 1900, month: 2, day: 29) == nil)
    #expect(CalendarTime(year: 2000, month: 2, day: 29) != nil)
    #expect(CalendarTime(year: 2024, month: 13, day: 1) == nil)
  }

  @Test func largeConversationsRender() throws {
    let template = try Golden().templates["qwen3"] ?? ""
    let turns = (0..<2000).map {
      ChatMessage(
        role: $0 % 2 == 0 ? "user" : "assistant", content: String(repeating: "word ", count: 100))
    }
    let text = try Self.render(template, turns)
    #expect(text.utf8.count > 1_000_000)
  }

  @Test func notUTF8() throws {
    let error = try #require(throws: TinctureError.self) {
      _ = try ChatTemplate(source: [0x7B, 0xFF], name: "t")
    }
    #expect(error.code.name == "chat.template.utf8")
  }
}
