import Synchronization
import Testing
import TinctureCore

@Suite("Parallel, shapes, budget")
struct ParallelTests {
  @Test("each chunk once, whatever the threads", arguments: [1, 2, 7, 64])
  func covers(threads: Int) throws {
    for count in [0, 1, 9, 10, 11, 1000] {
      let seen = Mutex([Int](repeating: 0, count: count))
      try Parallel.forEachChunk(of: count, chunk: 10, threads: threads) { range in
        seen.withLock { counts in for index in range { counts[index] += 1 } }
      }
      #expect(seen.withLock { $0 } == [Int](repeating: 1, count: count))
    }
  }

  @Test("the lowest failing chunk is reported", arguments: [1, 2, 7])
  func lowestError(threads: Int) throws {
    for _ in 0..<20 {
      let error = #expect(throws: TinctureError.self) {
        try Parallel.forEachChunk(of: 1000, chunk: 1, threads: threads) {
          (range) throws(TinctureError) in
          if range.lowerBound >= 13 {
            throw TinctureError(.init("t", .invalidInput), "\(range.lowerBound)")
          }
        }
      }
      #expect(error?.message == "13")
    }
  }

  @Test func shapesCheckTheirProducts() {
    #expect(Shape(checking: [1 << 32, 1 << 31]) == nil)
    #expect(Shape(checking: [-1, 2]) == nil)
    #expect(Shape(checking: [0, Int.max, 2])?.elementCount ?? 0 == 0)
    let shape = Shape(3, 4, 5)
    #expect(shape.rowLength == 5 && shape.rowCount == 12 && shape.ggmlOrder == [5, 4, 3])
    #expect(Shape().elementCount == 1 && Shape().rowLength == 1 && Shape().rowCount == 1)
  }

  @Test func budgetRefusesAndRemembers() throws {
    let budget = MemoryBudget(limit: 100)
    try budget.lease(60, for: "a")
    let error = #expect(throws: TinctureError.self) { try budget.lease(41, for: "b") }
    #expect(error.map { ExitStatus($0.code.kind) } == .limit)
    #expect(
      error?.message == "the memory budget has no room for b: 41 bytes beside the 60 already held")
    try budget.lease(40, for: "c")
    budget.giveBack(100)
    #expect(budget.held == 0 && budget.highWaterMark == 100)
    #expect(throws: TinctureError.self) { try budget.lease(.max, for: "d") }
  }
}
