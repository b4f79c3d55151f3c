import Testing
import TinctureCore
import TinctureRuntime
import TinctureTestSupport

/// Every tiny checkpoint against transformers in float64, at every position.
@Suite struct ParityTests {
  /// The gate of house issue: squared error over variance, and largest difference.
  static let worstNMSE = 1e-11
  static let largest = 5e-4

  @Test func thereAreGoldens() { #expect(GoldenModel.names.count >= 21) }

  @Test(arguments: GoldenModel.names) func outputsAgree(_ name: String) throws {
    let golden = try GoldenModel(name)
    let recorded = try Recorded(golden.model(), [golden.ids])
    let kind: OutputKind = try golden.entry.member("kind").equals("logits") ? .logits : .hidden
    let found = try #require(recorded.outputs[kind]?.first)
    let expected = try golden.values()
    try #require(found.count == expected.count)
    let distance = Distance(found, expected, width: golden.width)
    #expect(distance.nmse <= Self.worstNMSE, "row \(distance.worstRow)")
    #expect(distance.largest <= Self.largest)
    print("parity \(name) \(distance.nmse) \(distance.largest)")
  }

  @Test(arguments: GoldenModel.names) func everyStageAgrees(_ name: String) throws {
    let golden = try GoldenModel(name)
    let recorded = try Recorded(golden.model(), [golden.ids])
    let expected = try golden.values(".layers")
    #expect(recorded.stages.count == golden.stages)
    let size = golden.ids.count * golden.layerWidth
    for (stage, found) in recorded.stages.enumerated() where stage < golden.stages {
      let part = Array(expected[stage * size..<(stage + 1) * size])
      try #require(found[0].count == size)
      let distance = Distance(found[0], part, width: golden.layerWidth)
      #expect(distance.nmse <= Self.worstNMSE, "stage \(stage), row \(distance.worstRow)")
    }
  }

  static let poolers = ["bert-cased", "bert-sequence", "bert-uncased", "bert-vocabulary"]

  @Test(arguments: poolers) func poolersAgree(_ name: String) throws {
    let golden = try GoldenModel(name)
    let found = try #require(Recorded(golden.model(), [golden.ids]).outputs[.pooler]?.first)
    let distance = Distance(found, try golden.values(".pooler"), width: golden.layerWidth)
    #expect(distance.nmse <= Self.worstNMSE)
  }

  @Test(arguments: ["bert-masked", "bert-uncased", "embedding-gemma"])
  func pooledVectorsAgree(_ name: String) throws {
    let golden = try GoldenModel(name)
    let found = try #require(Recorded(golden.model(), [golden.ids]).outputs[.pooled]?.first)
    let distance = Distance(found, try golden.values(".pooled"), width: found.count)
    #expect(distance.nmse <= Self.worstNMSE)
  }

  @Test(arguments: ["bert-cased", "bert-masked", "bert-sequence", "bert-tokens"])
  func scoresAgree(_ name: String) throws {
    let golden = try GoldenModel(name)
    let found = try #require(Recorded(golden.model(), [golden.ids]).outputs[.scores]?.first)
    let width = try golden.entry.member("scoreWidth").int()
    let expected = try golden.values(".scores")
    try #require(found.count == expected.count)
    // Rows of three scores have little variance of their own.
    let distance = Distance(found, expected, width: width)
    #expect(distance.nmse <= Self.worstNMSE)
    #expect(distance.largest <= Self.largest)
  }

  @Test(arguments: GoldenModel.names, [Arithmetic.exact, .engine])
  func threadsAndCompanyChangeNothing(_ name: String, _ arithmetic: Arithmetic) throws {
    let golden = try GoldenModel(name)
    let model = try golden.model()
    // The same tokens alone, and between others, with one, two and seven threads.
    let alone = try Recorded(model, [golden.ids], arithmetic: arithmetic)
    for threads in [2, 7] {
      let others = [Array(golden.ids.prefix(5)), golden.ids, Array(golden.ids.suffix(9))]
      let among = try Recorded(model, others, arithmetic: arithmetic, threads: threads)
      for (kind, rows) in alone.outputs { #expect(among.outputs[kind]?[1] == rows[0], "\(kind)") }
      for (stage, rows) in alone.stages.enumerated() {
        #expect(among.stages[stage][1] == rows[0], "stage \(stage), \(threads) threads")
      }
    }
  }

  @Test func badSequencesAreErrors() throws {
    let model = try GoldenModel("gemma3").model()
    #expect { try Recorded(model, [[]]) } throws: {
      ($0 as? TinctureError)?.code.name == "runtime.sequence"
    }
    #expect { try Recorded(model, [[2, 480]]) } throws: {
      ($0 as? TinctureError)?.code.name == "runtime.token"
    }
    #expect { try Recorded(model, [[-1]]) } throws: {
      ($0 as? TinctureError)?.code.name == "runtime.token"
    }
    #expect { try Recorded(model, [[Int32](repeating: 5, count: 257)]) } throws: {
      ($0 as? TinctureError)?.code.name == "runtime.context"
    }
  }

  @Test func theBudgetIsKept() throws {
    let golden = try GoldenModel("gemma3")
    let memory = MemoryBudget(limit: 200_000)
    #expect { try Recorded(golden.model(), [golden.ids], memory: memory) } throws: {
      ($0 as? TinctureError)?.code.name == "memory.budget"
    }
    #expect(memory.held == 0)
    let enough = MemoryBudget(limit: 8 << 20)
    _ = try Recorded(golden.model(), [golden.ids], memory: enough)
    #expect(enough.held == 0)
    #expect(enough.highWaterMark > 200_000)
  }

  /// Near the least budget the head is read in tiles and rows of the embedding one by one.
  @Test(arguments: ["gemma3", "llama3", "gemma2"]) func anyBudgetThatSufficesGivesTheSame(
    _ name: String
  ) throws {
    let golden = try GoldenModel(name)
    let model = try golden.model()
    let expected = try Recorded(model, [golden.ids]).outputs[.logits]
    func attempt(_ limit: Int) throws -> [[Float]]? {
      let memory = MemoryBudget(limit: limit)
      do {
        let found = try Recorded(model, [golden.ids], memory: memory).outputs[.logits]
        #expect(memory.highWaterMark <= limit)
        return found
      } catch let error as TinctureError where error.code.name == "memory.budget" {
        #expect(memory.held == 0)
        return nil
      }
    }
    var (low, high) = (0, 8 << 20)
    while high - low > 1024 {
      let middle = (low + high) / 2
      if let found = try attempt(middle) {
        #expect(found == expected)
        high = middle
      } else {
        low = middle
      }
    }
    #expect(try attempt(high) == expected)
    #expect(try attempt(2 * high) == expected)
  }
}
