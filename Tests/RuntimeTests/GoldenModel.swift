import Foundation
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureRuntime
import TinctureTestSupport

/// A tiny checkpoint and what transformers computes for it in float64 (golden/logits/tiny, tools/golden/logits.py).
struct GoldenModel {
  let name: String
  let ids: [Int32]
  let width: Int
  let stages: Int
  let layerWidth: Int
  let entry: JSON

  static let names: [String] = {
    guard let index = try? index() else { return [] }
    return index.members.compactMap { key, _ in try? key.string() }
  }()

  static func index() throws -> JSON {
    let bytes = [UInt8](try Repository.contents("golden/logits/tiny/index.json"))
    return try JSON.parse(bytes, file: "index.json")
  }

  init(_ name: String) throws {
    self.name = name
    entry = try Self.index().member(name)
    ids = try entry.member("ids").array().map { Int32(try $0.int()) }
    width = try entry.member("width").int()
    stages = try entry.member("stages").int()
    layerWidth = try entry.member("layerWidth").int()
  }

  var folder: String {
    let head = Repository.path("golden/heads/\(name)")
    return Folder.kind(head) == .missing ? Repository.path("golden/models/\(name)") : head
  }

  func bound() throws -> BoundModel {
    try BoundModel.bind(source: SafetensorsCheckpoint.open(folder), folder: folder)
  }

  func model() throws -> RuntimeModel { try RuntimeModel(bound()) }

  func values(_ suffix: String = "") throws -> [Float] {
    let data = try Repository.contents("golden/logits/tiny/\(name)\(suffix).f32")
    return data.withUnsafeBytes { bytes in
      (0..<bytes.count / 4).map {
        Float(
          bitPattern: UInt32(
            littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 4, as: UInt32.self)))
      }
    }
  }
}

/// Everything a layer-major run gives.
struct Recorded {
  var outputs: [OutputKind: [[Float]]] = [:]
  /// `[stage][sequence]`.
  var stages: [[[Float]]] = []

  init(
    _ model: RuntimeModel, _ sequences: [[Int32]], arithmetic: Arithmetic = .exact,
    threads: Int = 1, memory: MemoryBudget = MemoryBudget(limit: 1 << 30)
  ) throws {
    var outputs: [OutputKind: [[Float]]] = [:]
    var stages: [[[Float]]] = []
    let walk = LayerMajor(model, arithmetic: arithmetic, threads: threads, memory: memory)
    try walk.run(
      sequences: sequences,
      stage: { rows in
        if rows.sequence == 0 { stages.append([]) }
        stages[rows.stage].append(Array(rows.values))
      },
      output: { rows in
        var list = outputs[rows.kind, default: []]
        while list.count <= rows.sequence { list.append([]) }
        list[rows.sequence] += Array(rows.values)
        outputs[rows.kind] = list
      })
    self.outputs = outputs
    self.stages = stages
  }
}

/// Distance of rows: the worst row's squared error over the row's variance, and the largest difference.
struct Distance {
  var nmse = 0.0
  var largest = 0.0
  var worstRow = 0

  init(_ found: [Float], _ expected: [Float], width: Int) {
    for row in 0..<expected.count / width {
      var mean = 0.0
      for i in 0..<width { mean += Double(expected[row * width + i]) / Double(width) }
      var (error, spread) = (0.0, 0.0)
      for i in row * width..<(row + 1) * width {
        let difference = Double(found[i]) - Double(expected[i])
        error += difference * difference
        spread += (Double(expected[i]) - mean) * (Double(expected[i]) - mean)
        largest = max(largest, difference.isNaN ? .infinity : abs(difference))
      }
      let ratio = error / spread
      if !(ratio <= nmse) { (nmse, worstRow) = (ratio.isNaN ? .infinity : ratio, row) }
    }
  }
}
