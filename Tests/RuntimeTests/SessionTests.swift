import Foundation
import Testing
import TinctureCore
import TinctureRuntime

/// Generation against the layer-major walk, and the sampler.
@Suite struct SessionTests {
  static let decoders = GoldenModel.names.filter {
    !$0.hasPrefix("bert") && $0 != "embedding-gemma"
  }

  static func session(
    _ model: RuntimeModel, _ arithmetic: Arithmetic = .exact, threads: Int = 1, context: Int? = nil
  ) throws -> Session {
    try Session(
      model, arithmetic: arithmetic, contextLength: context, threads: threads,
      memory: MemoryBudget(limit: 1 << 30))
  }

  /// Every token alone gives the rows of the whole sequence at once: the cache, the ring of windowed layers and the
  /// positions are right.
  @Test(arguments: decoders) func tokenByTokenIsTheWholeSequence(_ name: String) throws {
    let golden = try GoldenModel(name)
    let model = try golden.model()
    let whole = try #require(Recorded(model, [golden.ids]).outputs[.logits]?.first)
    for threads in [1, 2, 7] {
      let session = try Self.session(model, threads: threads)
      var found: [Float] = []
      for id in golden.ids { found += Array(try session.append([id])) }
      #expect(found == whole, "\(threads) threads")
    }
  }

  /// So do a prompt in one piece and then single tokens.
  @Test(arguments: decoders) func promptAndTokensAgree(_ name: String) throws {
    let golden = try GoldenModel(name)
    let model = try golden.model()
    let whole = try #require(Recorded(model, [golden.ids]).outputs[.logits]?.first)
    let session = try Self.session(model, threads: 2)
    var found = Array(try session.append(Array(golden.ids.prefix(37))))
    #expect(found == Array(whole[36 * golden.width..<37 * golden.width]))
    for id in golden.ids[37...] { found = Array(try session.append([id])) }
    #expect(found == Array(whole.suffix(golden.width)))
    session.reset()
    #expect(Array(try session.append(golden.ids)) == Array(whole.suffix(golden.width)))
  }

  /// Integer products of a batch and of single tokens differ in the order of additions only.
  @Test(arguments: decoders) func engineArithmeticStaysClose(_ name: String) throws {
    let golden = try GoldenModel(name)
    let model = try golden.model()
    let whole = try #require(
      Recorded(model, [golden.ids], arithmetic: .engine).outputs[.logits]?.first)
    let exact = try golden.values()
    let session = try Self.session(model, .engine, threads: 2)
    var found: [Float] = []
    for id in golden.ids { found += Array(try session.append([id])) }
    #expect(Distance(found, whole, width: golden.width).nmse < 1e-4)
    // Rounded activations are seen, and no more than rounded.
    let rounding = Distance(whole, exact, width: golden.width).nmse
    #expect(rounding > 1e-12 && rounding < 1e-2, "\(rounding)")
  }

  @Test func limitsAreErrors() throws {
    let golden = try GoldenModel("gemma3")
    let model = try golden.model()
    let session = try Self.session(model, context: 10)
    _ = try session.append(Array(golden.ids.prefix(9)))
    #expect { try session.append([2, 3]) } throws: {
      ($0 as? TinctureError)?.code.name == "runtime.context"
    }
    _ = try session.append([2])
    #expect(session.count == 10)
    #expect { try Self.session(model, context: 257) } throws: {
      ($0 as? TinctureError)?.code.name == "runtime.context"
    }
    let encoder = try GoldenModel("bert-cased").model()
    #expect { try Self.session(encoder) } throws: {
      ($0 as? TinctureError)?.code.name == "runtime.encoder"
    }
  }

  func draw(_ sampler: inout Sampler, _ scores: [Float]) throws -> Int32 {
    try scores.withUnsafeBufferPointer { try sampler.next($0) }
  }

  @Test func samplingIsRepeatableAndFair() throws {
    let scores: [Float] = [0, 1, 2, 3, 3, -5]
    var greedy = try Sampler()
    #expect(try draw(&greedy, scores) == 3)
    for (topK, topP, allowed) in [
      (0, Float(1), 0...5), (3, 1, 2...4), (1, 1, 3...3), (0, 0.3, 3...3), (0, 0.75, 3...4),
      (4, 0.9, 2...4),
    ] as [(Int, Float, ClosedRange<Int32>)] {
      var one = try Sampler(temperature: 1, topK: topK, topP: topP, seed: 7)
      var two = try Sampler(temperature: 1, topK: topK, topP: topP, seed: 7)
      var counts = [Int32: Int]()
      for _ in 0..<4000 {
        let id = try draw(&one, scores)
        #expect(try draw(&two, scores) == id)
        #expect(allowed.contains(id), "\(id) with top-k \(topK), top-p \(topP)")
        counts[id, default: 0] += 1
      }
      if topK == 0, topP == 1 {
        let total = scores.reduce(0) { $0 + exp(Double($1)) }
        for (id, count) in counts {
          let share = exp(Double(scores[Int(id)])) / total
          #expect(abs(Double(count) / 4000 - share) < 4 * (share / 4000).squareRoot() + 1e-3)
        }
      }
    }
    var other = try Sampler(temperature: 1, seed: 8)
    var first = try Sampler(temperature: 1, seed: 7)
    let a = try (0..<50).map { _ in try draw(&other, scores) }
    let b = try (0..<50).map { _ in try draw(&first, scores) }
    #expect(a != b)
    #expect { try self.draw(&first, [0, .nan]) } throws: {
      ($0 as? TinctureError)?.code.name == "sampler.notFinite"
    }
    #expect(throws: TinctureError.self) { try Sampler(temperature: -1) }
    #expect(throws: TinctureError.self) { try Sampler(topP: 0) }
  }
}
