import TinctureCore

/// Whether the candidate reads texts as the reference does: its tokens, its tokenizer's data, its chat template.
public struct ReadingCheck: Sendable, Equatable {
  public enum Subject: String, Sendable, CaseIterable {
    /// The prompts' texts through the candidate's own tokenizer, against the ids that were recorded.
    case tokens
    /// What the tokenizer is made of.
    case tokenizer
    case chatTemplate

    /// What people call it.
    public var title: String {
      switch self {
      case .tokens: "texts as tokens"
      case .tokenizer: "tokenizer"
      case .chatTemplate: "chat template"
      }
    }
  }

  public enum Result: String, Sendable {
    case holds, fails
    /// There is a difference that changes none of the prompts' tokens: it is told, and decides nothing.
    case differs
    /// There was nothing to compare.
    case notChecked

    /// One word for a table.
    public var word: String {
      switch self {
      case .holds: "holds"
      case .fails: "FAILS"
      case .differs: "differs"
      case .notChecked: "not checked"
      }
    }
  }

  public let subject: Subject
  public let result: Result
  /// What differs, what was compared, or why nothing was.
  public let detail: String

  init(_ subject: Subject, _ result: Result, _ detail: String) {
    self.subject = subject
    self.result = result
    self.detail = detail
  }

  /// Every check that applies to the prompts of a pack.
  ///
  /// - Parameters:
  ///   - facts: the candidate's; nil for a model without a tokenizer.
  ///   - spelling: what the candidate's vocabulary has for an id.
  ///   - encode: its tokens for a text; an error is a difference.
  ///   - speak: its tokens for the conversation that became the prompt of this number, by its own chat template; an error
  ///     is a difference. nil where the messages are not known.
  package static func all(
    _ pack: ParityPack, facts candidate: TokenizerFacts?, spelling: (Int32) -> [UInt8]?,
    encode: (String, PromptForm) throws(TinctureError) -> [Int32],
    speak: (Int) throws(TinctureError) -> [Int32]?
  ) -> [ReadingCheck] {
    let (reference, prompts) = (pack.description.tokenizer, pack.prompts)
    var checks = [tokens(prompts, spelling: spelling, encode: encode)]
    checks += facts(prompts, reference: reference, candidate: candidate)
    if let reference, let candidate {
      let templates = (reference: reference[.chatTemplate], candidate: candidate[.chatTemplate])
      if let check = template(prompts, templates, spelling: spelling, speak: speak) {
        checks.append(check)
      }
    }
    return checks
  }

  // MARK: Texts as tokens

  /// Reads every prompt that has a text with the candidate's tokenizer.
  package static func tokens(
    _ prompts: [PackPrompt], spelling: (Int32) -> [UInt8]?,
    encode: (String, PromptForm) throws(TinctureError) -> [Int32]
  ) -> ReadingCheck {
    let texts = prompts.enumerated().filter { $0.element.text != nil && $0.element.form != nil }
    guard !texts.isEmpty else {
      return ReadingCheck(
        .tokens, .notChecked,
        prompts.contains { $0.text != nil }
          ? "the pack does not say how its texts became tokens: it was made by an older version"
          : "the prompts are token ids, without texts")
    }
    var first: String?
    var count = 0
    for (number, prompt) in texts {
      guard let text = prompt.text, let form = prompt.form else { continue }
      let ids: [Int32]
      do throws(TinctureError) {
        ids = try encode(text, form)
      } catch {
        return ReadingCheck(
          .tokens, .fails,
          "the model's tokenizer cannot be used: \(error.message)"
            + (error.found.map { " (\($0))" } ?? ""))
      }
      guard let words = difference(ids, prompt, number, spelling) else { continue }
      count += 1
      first = first ?? words
    }
    let all = "\(texts.count) text\(texts.count == 1 ? "" : "s")"
    if let first {
      let verb = count == 1 ? "differs" : "differ"
      return ReadingCheck(.tokens, .fails, "\(first); \(count) of \(all) \(verb)")
    }
    let rest = prompts.count - texts.count
    return ReadingCheck(
      .tokens, .holds,
      all + (rest == 0 ? "" : "; \(rest) prompt\(rest == 1 ? " is" : "s are") ids only"))
  }

  /// The first token in which the candidate's ids for a prompt are not the recorded ones; nil when all are.
  private static func difference(
    _ given: [Int32], _ prompt: PackPrompt, _ number: Int, _ spelling: (Int32) -> [UInt8]?
  ) -> String? {
    func token(_ id: Int32) -> String {
      guard let bytes = spelling(id), !bytes.isEmpty else { return "\(id)" }
      return "\(id) '\(String(decoding: bytes, as: UTF8.self))'"
    }
    let ids = prompt.isCut ? Array(given.prefix(prompt.ids.count)) : given
    guard ids != prompt.ids else { return nil }
    let place = zip(ids, prompt.ids).enumerated().first { $0.element.0 != $0.element.1 }?.offset
    let at = place ?? min(ids.count, prompt.ids.count)
    let own = at < ids.count ? token(ids[at]) : "the end"
    let theirs = at < prompt.ids.count ? token(prompt.ids[at]) : "the end"
    return "prompt \(number), token \(at): \(own), in the reference \(theirs)"
  }

  // MARK: The tokenizer's data

  /// Compares what tokenizers are made of, chat templates aside.
  ///
  /// - Parameters:
  ///   - reference: nil when the pack says nothing about it.
  ///   - candidate: nil for a model without a tokenizer.
  package static func facts(
    _ prompts: [PackPrompt], reference: TokenizerFacts?, candidate: TokenizerFacts?
  ) -> [ReadingCheck] {
    let hasTexts = prompts.contains { $0.text != nil }
    guard let candidate else {
      return [
        ReadingCheck(
          .tokenizer, hasTexts ? .fails : .notChecked,
          "the model has no tokenizer" + (hasTexts ? ": it cannot read a text" : ""))
      ]
    }
    guard let reference else {
      return [
        ReadingCheck(.tokenizer, .notChecked, "the reference says nothing about its tokenizer")
      ]
    }
    var checks: [ReadingCheck] = []
    let differences = TokenizerFacts.differences(reference: reference, candidate: candidate)
    if differences.isEmpty {
      checks.append(ReadingCheck(.tokenizer, .holds, "the same vocabulary, types and rules"))
    } else {
      let text = differences.map(\.text).joined(separator: "; ")
      let isIdle = differences.allSatisfy(\.isIdle)
      checks.append(
        ReadingCheck(
          .tokenizer, isIdle ? .differs : .fails,
          isIdle ? text + ": such a tokenizer does not use it" : text))
    }
    return checks
  }

  // MARK: Chat templates

  /// Compares chat templates, each given as its digest. Two that differ are let pass where no prompt is a conversation, and
  /// where the candidate's makes the recorded ids of every one.
  ///
  /// - Returns: nil when neither side has one.
  package static func template(
    _ prompts: [PackPrompt], _ digests: (reference: String?, candidate: String?),
    spelling: (Int32) -> [UInt8]?, speak: (Int) throws(TinctureError) -> [Int32]?
  ) -> ReadingCheck? {
    let (theirs, own) = digests
    if theirs == own {
      return own.map { _ in ReadingCheck(.chatTemplate, .holds, "the same") }
    }
    let what =
      own == nil
      ? "the model has none" : theirs == nil ? "the reference has none" : "not the reference's"
    let talks = prompts.enumerated().filter { $0.element.form == .conversation }
    guard !talks.isEmpty else {
      return ReadingCheck(.chatTemplate, .differs, what + "; no prompt is a conversation")
    }
    guard own != nil else { return ReadingCheck(.chatTemplate, .fails, what) }
    for (number, prompt) in talks {
      do throws(TinctureError) {
        guard let ids = try speak(number) else { return ReadingCheck(.chatTemplate, .fails, what) }
        guard let words = difference(ids, prompt, number, spelling) else { continue }
        return ReadingCheck(.chatTemplate, .fails, "\(what): \(words)")
      } catch {
        return ReadingCheck(
          .chatTemplate, .fails,
          "\(what), and does not make prompt \(number): \(error.message)"
            + (error.found.map { " (\($0))" } ?? ""))
      }
    }
    return ReadingCheck(
      .chatTemplate, .differs,
      "\(what); it makes the same tokens of \(talks.count) conversation\(talks.count == 1 ? "" : "s")"
    )
  }
}
