import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureRuntime
import TinctureText

/// Continues texts with a model: its tokenizer, a ``Session`` and a ``Sampler`` together.
public final class TextGenerator {
  /// Why a text ended.
  public enum End: String, Sendable {
    /// The model gave a token that ends its text.
    case endToken
    /// As many tokens as were asked for.
    case count
    /// The context is full.
    case context
    /// Nobody reads the text any more.
    case reader
  }

  /// What was generated, and how long it took.
  public struct Report: Sendable {
    /// Generated tokens, without the one that ended the text.
    public var ids: [Int32] = []
    /// Their text, well-formed UTF-8.
    public var text: [UInt8] = []
    public var end = End.count
    /// Tokens of the prompt, and how many of them the session had kept from before.
    public var promptCount = 0
    public var keptCount = 0
    /// Seconds from the opening of the generator to the first token; of the first text only.
    public var secondsToFirst: Double?
    /// Seconds the prompt took, its first token's choice included.
    public var promptSeconds = 0.0
    /// Seconds all tokens after the first took.
    public var generationSeconds = 0.0
    /// Tokens computed one at a time in ``generationSeconds``.
    public var generatedCount = 0
  }

  public let checkpoint: Checkpoint
  public let bound: BoundModel
  public let model: RuntimeModel
  public let tokenizer: Tokenizer
  public let session: Session
  /// Notes of the binding, the model and the tokenizer.
  public let notes: [String]
  private let opened: ContinuousClock.Instant
  private var isFirst = true
  /// What the session holds.
  private var taken: [Int32] = []

  /// Opens the model at `path`: weights are mapped, not read.
  ///
  /// - Parameters:
  ///   - contextLength: most tokens of prompt and text; nil: what the model was made for.
  /// - Throws: what opening, binding, the tokenizer and ``Session`` throw.
  /// - Complexity: linear in the file's headers.
  public init(
    _ path: String, arithmetic: Arithmetic = .engine, contextLength: Int? = nil,
    resources: Resources
  ) throws(TinctureError) {
    opened = .now
    let checkpoint = try Checkpoint.open(path)
    self.checkpoint = checkpoint
    let bound = try checkpoint.bind()
    self.bound = bound
    let model = try RuntimeModel(bound)
    self.model = model
    tokenizer = try Tokenizer.open(checkpoint)
    session = try Session(
      model, arithmetic: arithmetic, contextLength: contextLength, threads: resources.threads,
      memory: resources.memory, cancellation: resources.cancellation)
    notes = bound.notes + model.notes + tokenizer.notes
  }

  /// Continues `prompt`.
  ///
  /// Tokens that the session holds from the text before, and that `prompt` begins with, are not computed again.
  /// - Parameters:
  ///   - limit: most tokens; nil: until the model or the context ends it.
  ///   - ignoresEnd: whether tokens that end a text are ordinary ones (for measuring).
  ///   - onText: gets the text as soon as its characters are whole; false ends the generation.
  /// - Throws: `runtime.*`, `sampler.notFinite`, `file.truncated`, `run.interrupted`, and what `onText` throws.
  public func generate(
    _ prompt: [Int32], limit: Int? = nil, sampler: inout Sampler, ignoresEnd: Bool = false,
    onText: ([UInt8]) throws(TinctureError) -> Bool = { (_) throws(TinctureError) in true }
  ) throws(TinctureError) -> Report {
    var report = Report()
    report.promptCount = prompt.count
    try model.check(prompt, tokenizer)
    let start = ContinuousClock.now
    if taken.count < prompt.count, prompt.starts(with: taken) {
      report.keptCount = taken.count
    } else {
      session.reset()
      taken = []
    }
    let rest = Array(prompt[taken.count...])
    var scores = try session.append(rest)
    taken = prompt
    var decoder = tokenizer.streamingDecoder()
    var decided = ContinuousClock.now
    while true {
      if let limit, report.ids.count >= limit {
        report.end = .count
        break
      }
      guard session.count < session.contextLength else {
        report.end = .context
        break
      }
      let id = try sampler.next(scores)
      if report.ids.isEmpty {
        decided = .now
        report.promptSeconds = secondsSince(start)
        if isFirst { report.secondsToFirst = secondsSince(opened) }
        isFirst = false
      }
      if !ignoresEnd, tokenizer.endsGeneration(id) {
        report.end = .endToken
        break
      }
      report.ids.append(id)
      let text = decoder.next(id)
      report.text += text
      if !text.isEmpty, try !onText(text) {
        report.end = .reader
        break
      }
      if report.ids.count == limit { continue }
      // The token just made stands in the context too.
      guard session.count + 1 < session.contextLength else {
        report.end = .context
        break
      }
      scores = try session.append([id])
      report.generatedCount += 1
      taken.append(id)
    }
    report.generationSeconds = secondsSince(decided)
    let text = decoder.finish()
    report.text += text
    if !text.isEmpty, report.end != .reader { _ = try onText(text) }
    return report
  }
}
