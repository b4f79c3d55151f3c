import Foundation
import Testing
import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// Every tiny checkpoint against what llama.cpp's converter makes of it (golden/plans, tools/golden/plans.py).
@Suite struct PlanTests {
  /// Differences that are meant; formats/spec/differences.md gives the reasons.
  static let metadataDifferences: [String: Set<String>] = [
    // llama.cpp finds <end_of_turn> by its text; 107 is its number in Google's vocabulary only.
    "gemma": ["tokenizer.ggml.eot_token_id"],
    // A second end token in the list of config.json ends generation too.
    "gemma3": ["tokenizer.ggml.eot_token_id"],
    "gemma3-multimodal-old": ["tokenizer.ggml.eot_token_id"],
    "gemma3-multimodal-middle": ["tokenizer.ggml.eot_token_id"],
    "gemma3-multimodal-new": ["tokenizer.ggml.eot_token_id"],
    // The recorded runs were told a pre-tokenizer; the definition is what tincture goes by.
    "bert-cased": ["tokenizer.ggml.pre"], "bert-uncased": ["tokenizer.ggml.pre"],
    "bert-pubmed": ["tokenizer.ggml.pre"],
    // A vocabulary alone still says which tokens are special, and do_lower_case how to normalise.
    "bert-vocabulary": [
      "tokenizer.ggml.pre", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
      "tokenizer.ggml.mask_token_id", "tokenizer.ggml.normalizer.lowercase",
      "tokenizer.ggml.seperator_token_id", "tokenizer.ggml.unknown_token_id",
    ],
  ]
  /// Tensors that carry a folded query scale, which llama.cpp's converter loses.
  static let tensorDifferences: [String: String] = [
    "gemma2-scale": ".attn_q.weight", "gemma3-scale": ".attn_q_norm.weight",
  ]

  static let names: [String] = {
    let files = (try? Repository.files(in: "golden/plans", suffix: ".json")) ?? []
    return files.map { String($0.dropFirst("golden/plans/".count).dropLast(".json".count)) }
      .filter { $0 != "selections" }
  }()

  static func plan(_ name: String) throws -> JSON {
    let bytes = [UInt8](try Repository.contents("golden/plans/\(name).json"))
    return try JSON.parse(bytes, file: name)
  }

  static func bound(_ name: String) throws -> BoundModel {
    let folder = Repository.path("golden/models/\(name)")
    return try BoundModel.bind(source: SafetensorsCheckpoint.open(folder), folder: folder)
  }

  @Test func thereArePlans() { #expect(Self.names.count >= 19) }

  @Test(arguments: names) func tensorsAreTheSame(_ name: String) throws {
    let plan = try Self.plan(name)
    let model = try Self.bound(name)
    guard plan.present("error") == nil else {
      // llama.cpp's converter stops on this one; binding it is the point.
      #expect(!model.tensors.isEmpty)
      return
    }
    let difference = Self.tensorDifferences[name]
    var others: [String: String] = [:]
    for (kind, list) in try plan.member("others").object() where kind.equals("f32") {
      for entry in try list.array() {
        others[try entry.member("name").string()] = try entry.member("sha256").string()
      }
    }
    var expected: Set<String> = []
    for entry in try plan.member("tensors").array() {
      let tensorName = try entry.member("name").string()
      expected.insert(tensorName)
      let tensor = try #require(model.tensors.first { $0.name == tensorName }, "\(tensorName)")
      let shape = try entry.member("shape").array().map { try $0.int() }
      #expect(tensor.shape.dimensions == shape, "\(tensorName)")
      let values = try Self.values(tensor, model)
      let isSame = difference.map { !tensorName.hasSuffix($0) } ?? true
      let format = try #require(BlockFormat.named(try entry.member("type").string()))
      let digest = Digest.sha256(try Self.encoded(values, tensor.shape.rowLength, format))
      #expect(try (digest == entry.member("sha256").string()) == isSame, "\(tensorName)")
      if let other = others[tensorName] {
        let single = Digest.sha256(try Self.encoded(values, tensor.shape.rowLength, .f32))
        #expect((single == other) == isSame, "\(tensorName) as F32")
      }
    }
    #expect(Set(model.tensors.map(\.name)) == expected)
    #expect(model.coverage.count == model.source.tensors.count)
  }

  @Test(arguments: names) func metadataIsTheSame(_ name: String) throws {
    let plan = try Self.plan(name)
    guard plan.present("error") == nil else { return }
    let model = try Self.bound(name)
    let meant = Self.metadataDifferences[name] ?? []
    // The plan of the output adds these two.
    let added: Set<String> = ["general.file_type", "general.quantization_version"]
    var expected: [String: String] = [:]
    for entry in try plan.member("metadata").array() {
      let key = try entry.member("key").string()
      if !added.contains(key) { expected[key] = try Self.text(entry) }
    }
    var found: [String: String] = [:]
    for (key, value) in model.metadata {
      #expect(found[key] == nil, "\(key) is there twice")
      found[key] = try Self.text(value, like: expected[key])
    }
    for key in Set(expected.keys).union(found.keys).sorted() {
      #expect((expected[key] == found[key]) == !meant.contains(key), "\(key)")
    }
  }

  /// All rows as single-precision numbers, made in slabs of three rows.
  static func values(_ tensor: CanonicalTensor, _ model: BoundModel) throws -> [Float] {
    let view = CanonicalView(model)
    var values = [Float](repeating: .nan, count: tensor.shape.elementCount)
    let scratch = UnsafeMutableRawBufferPointer.allocate(
      byteCount: CanonicalView.scratchByteCount(tensor, rowCount: 3) + 16, alignment: 64)
    defer { scratch.deallocate() }
    let length = tensor.shape.rowLength
    try values.withUnsafeMutableBufferPointer { buffer in
      let base = try #require(buffer.baseAddress)
      for row in stride(from: 0, to: tensor.shape.rowCount, by: 3) {
        try view.rows(
          of: tensor, row..<min(row + 3, tensor.shape.rowCount), into: base + row * length,
          scratch: scratch)
      }
    }
    return values
  }

  static func encoded(_ values: [Float], _ rowLength: Int, _ format: BlockFormat) throws -> [UInt8]
  {
    let rows = values.count / rowLength
    let bytes = try #require(format.rowByteCount(rowLength)) * rows
    var encoded = [UInt8](repeating: 0, count: bytes)
    try values.withUnsafeBufferPointer { source in
      try encoded.withUnsafeMutableBytes { target in
        try format.encode(
          #require(source.baseAddress), rowCount: rows, rowLength: rowLength, importance: nil,
          into: #require(target.baseAddress))
      }
    }
    return encoded
  }

  /// A golden entry as text: type and value, or count and digest of a long array.
  private static func text(_ entry: JSON) throws -> String {
    let type = try entry.member("type").string()
    if let digest = entry.present("sha256") {
      return "\(type) \(try entry.member("count").int()) \(try digest.string())"
    }
    return "\(type) \(try plain(entry.member("value"), type))"
  }

  private static func plain(_ value: JSON, _ type: String) throws -> String {
    switch value.kind {
    case .array: try "[" + value.elements.map { try plain($0, type) }.joined(separator: ", ") + "]"
    case .string: try value.string()
    case .number where type.hasSuffix("FLOAT32"): "\(Float(try value.double()))"
    case .number: "\(try value.int())"
    case .bool: "\(try value.bool())"
    default: value.shortText
    }
  }

  /// A value of ours in the same words; as a digest when `like` is one.
  private static func text(_ value: GGUFValue, like other: String?) throws -> String {
    switch value {
    case .uint32(let number): return "UINT32 \(number)"
    case .int32(let number): return "INT32 \(number)"
    case .float32(let number): return "FLOAT32 \(number)"
    case .bool(let flag): return "BOOL \(flag)"
    case .string(let text): return "STRING \(text.text)"
    case .array(let array):
      let (kind, texts, bytes) = try items(array)
      if texts.count <= 32 { return "ARRAY \(kind) [\(texts.joined(separator: ", "))]" }
      return "ARRAY \(kind) \(texts.count) \(Digest.sha256(bytes))"
    default: return "\(value)"
    }
  }

  private static func items(_ array: GGUFArray) throws -> (String, [String], [UInt8]) {
    func bytes(_ pattern: UInt32) -> [UInt8] {
      withUnsafeBytes(of: pattern.littleEndian) { Array($0) }
    }
    switch array {
    case .strings(let strings):
      var all: [UInt8] = []
      var texts: [String] = []
      for index in 0..<strings.count {
        all += withUnsafeBytes(of: UInt64(strings[index].count).littleEndian) { Array($0) }
        all += strings[index]
        texts.append(String(decoding: strings[index], as: UTF8.self))
      }
      return ("STRING", texts, all)
    case .int32(let numbers):
      return ("INT32", numbers.map { "\($0)" }, numbers.flatMap { bytes(UInt32(bitPattern: $0)) })
    case .float32(let numbers):
      return ("FLOAT32", numbers.map { "\($0)" }, numbers.flatMap { bytes($0.bitPattern) })
    case .bool(let flags):
      return ("BOOL", flags.map { "\($0)" }, flags.map { $0 ? 1 : 0 })
    default: throw CocoaError(.featureUnsupported)
    }
  }
}
