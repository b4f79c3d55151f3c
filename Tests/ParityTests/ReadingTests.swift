import Foundation
import Testing
import TinctureContainers
import TinctureCore
import TinctureParity
import TinctureTestSupport

/// How a pack says what was read, and the comparison of that.
@Suite("Reading")
struct ReadingTests {
  static func prompt(_ text: String?, _ form: PromptForm?, _ ids: [Int32], isCut: Bool = false)
    -> PackPrompt
  {
    PackPrompt(text: text, form: form, isCut: isCut, ids: ids, pieces: ids.map { _ in [] })
  }

  /// A token a letter, the beginning first.
  static func encode(_ text: String, _ form: PromptForm) -> [Int32] {
    (form == .text ? [1] : []) + text.utf8.map { Int32($0) }
  }

  static func tokens(_ prompts: [PackPrompt]) -> ReadingCheck {
    ReadingCheck.tokens(
      prompts, spelling: { $0 > 31 && $0 < 127 ? [UInt8($0)] : nil },
      encode: { (text, form) throws(TinctureError) in encode(text, form) })
  }

  @Test func equalTextsHold() {
    let check = Self.tokens([
      Self.prompt("ab", .text, [1, 97, 98]), Self.prompt("ab", .conversation, [97, 98]),
      Self.prompt("abc", .text, [1, 97], isCut: true), Self.prompt(nil, nil, [5]),
    ])
    #expect(check.result == .holds && check.detail == "3 texts; 1 prompt is ids only", "\(check)")
  }

  @Test(
    arguments: [
      ([1, 97, 99], false, "prompt 1, token 2: 98 'b', in the reference 99 'c'; 1 of 2 texts"),
      ([2, 97, 98], false, "prompt 1, token 0: 1, in the reference 2"),
      ([1, 97], false, "prompt 1, token 2: 98 'b', in the reference the end"),
      ([1, 97, 98, 99], false, "prompt 1, token 3: the end, in the reference 99 'c'"),
      ([1, 97, 98, 99], true, "prompt 1, token 3: the end, in the reference 99 'c'"),
    ] as [([Int32], Bool, String)])
  func differences(ids: [Int32], isCut: Bool, detail: String) {
    let check = Self.tokens([
      Self.prompt("a", .text, [1, 97]), Self.prompt("ab", .text, ids, isCut: isCut),
    ])
    #expect(check.result == .fails && check.detail.hasPrefix(detail), "\(check)")
  }

  @Test func nothingToReadIsSaid() {
    #expect(Self.tokens([Self.prompt(nil, nil, [5])]).result == .notChecked)
    let old = Self.tokens([Self.prompt("a", nil, [5])])
    #expect(old.result == .notChecked && old.detail.contains("older version"))
  }

  @Test func aSideThatSaysNothingAboutARoleIsNotAsked() {
    var (a, b) = (TokenizerFacts(), TokenizerFacts())
    (a[.model], b[.model]) = ("llama", "llama")
    a[.mask] = "4"
    let texts = [Self.prompt("a", .text, [1, 97])]
    func result() -> ReadingCheck.Result {
      ReadingCheck.facts(texts, reference: a, candidate: b)[0].result
    }
    #expect(result() == .holds)
    b[.mask] = "5"
    #expect(result() == .fails)
    b[.mask] = nil
    a[.scores] = "00"
    #expect(result() == .fails)
    b[.scores] = "00"
    (a[.before], b[.before]) = ("2", "")
    #expect(result() == .fails)
  }

  /// Another chat template by what it makes of conversations whose messages are known (number 1 and 2 here).
  @Test func templates() {
    let texts = [Self.prompt("a", .text, [1, 97])]
    let talks =
      texts + [
        Self.prompt("ab", .conversation, [97, 98]),
        Self.prompt("abc", .conversation, [97, 98], isCut: true),
      ]
    func check(
      _ prompts: [PackPrompt], _ own: String?, _ reference: String? = "x", last: [Int32] = [99],
      error: Bool = false, isKnown: Bool = true
    ) -> ReadingCheck? {
      ReadingCheck.template(
        prompts, (reference, own), spelling: { _ in nil },
        speak: { (number) throws(TinctureError) in
          if error { throw TinctureError(.init("chat.template.raised", .invalidInput), "no") }
          return isKnown ? [97, 98] + (number == 2 ? last : []) : nil
        })
    }
    #expect(check(talks, "x", error: true)?.result == .holds)
    #expect(check(talks, nil, nil) == nil)
    #expect(check(texts, "y", error: true)?.result == .differs)
    #expect(check(texts, nil)?.result == .differs)
    #expect(check(talks, "y")?.detail.hasSuffix("the same tokens of 2 conversations") == true)
    #expect(check(talks, "y")?.result == .differs)
    #expect(check(Array(talks[..<2]), "y")?.result == .differs)
    #expect(
      check(talks.dropLast() + [Self.prompt("b", .conversation, [98])], "y")?.result == .fails)
    #expect(check(talks, "y", error: true)?.result == .fails)
    #expect(check(talks, "y", isKnown: false)?.result == .fails)
    #expect(check(talks, nil)?.result == .fails)
    #expect(check(talks, "y", nil, isKnown: false)?.result == .fails)
  }

  @Test("facts and forms come back from a pack, and a pack of version 1 is still read")
  func versions() throws {
    var facts = TokenizerFacts()
    facts[.model] = "llama"
    facts[.before] = ""
    let rows = SyntheticRows(vocabulary: 200, width: 8, lengths: [3])
    var about = rows.description(top: 20)
    about.tokenizer = facts
    let memory = MemoryBudget(limit: 1 << 30)
    var prompts = rows.prompts
    (prompts[0].text, prompts[0].form, prompts[0].isCut) = ("a text", .conversation, true)
    let recorder = try PackRecorder(
      about, prompts: prompts, writer: try PackWriter(memory: memory), threads: 1, memory: memory)
    try rows.logits(0).withUnsafeBufferPointer {
      try recorder.logits(prompt: 0, first: 0, rows: $0)
    }
    let file = try #require(try recorder.finish())
    let pack = try ParityPack(try PackFile(file))
    #expect(pack.description.tokenizer == facts)
    #expect(pack.prompts[0].form == .conversation && pack.prompts[0].isCut)

    let good = try file.contents(limit: 1 << 28)
    let packFile = try PackFile(InputFile(memory: good, name: "test.pack"))
    var index = String(decoding: packFile.index, as: UTF8.self)
    for (new, old) in [
      ("\"schemaVersion\":3", "\"schemaVersion\":1"),
      ("\"tokenizer\":{\"model\":\"llama\",\"before\":\"\"},", ""),
      ("\"form\":\"conversation\",\"cut\":true,", ""),
    ] {
      #expect(index.contains(new))
      index = index.replacingOccurrences(of: new, with: old)
    }
    let bytes = try PackBytes.withIndex(
      Array(index.utf8), after: Array(good[..<Int(packFile.framesEnd)]))
    let old = try ParityPack(try PackFile(InputFile(memory: bytes, name: "old.pack")))
    #expect(old.description.tokenizer == nil)
    #expect(old.prompts[0].text == "a text" && old.prompts[0].form == nil)
    #expect(old.prompts[0].ids == prompts[0].ids)
  }
}
