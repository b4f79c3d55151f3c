import TinctureBlocks
import TinctureCalibration
import TinctureContainers
import TinctureCore

extension FuzzTarget {
  static let json = FuzzTarget(
    name: "json",
    seeds: [
      #"{"a":[1,-2.5e3,true,false,null,"x\u00e9\ud83d\ude00\n"],"b":{"c":{}},"d":""}"#,
      #"[[[[[[1]]]]],{"k":"v","l":[{},[],""]},18446744073709551615]"#,
      #"{"model_type":"gemma3","text_config":{"hidden_size":640,"rope_scaling":null}}"#,
      "[" + String(repeating: "1,", count: 4100) + "1]",
      "[" + (0..<1500).map(String.init).joined(separator: ",") + "]",
    ].map { Array($0.utf8) },
    words: [
      "{", "}", "[", "]", ",", ":", "\"", "\\u", "\\", "null", "true", "1e5", "//", "/*", "*/",
    ],
    run: { bytes throws(TinctureError) in
      // Half of the inputs take the lenient way.
      let lenient = (bytes.count & 1) == 1
      return try walk(JSON.parse(bytes, file: "fuzz", mode: lenient ? .lenient : .strict))
    })

  /// Visits every node and reads it in every way; returns the number of nodes, at most 15.
  private static func walk(_ node: JSON) -> Int {
    var count = 1
    switch node.kind {
    case .null, .bool: _ = try? node.bool()
    case .number:
      _ = try? node.int()
      _ = try? node.uint64()
      _ = try? node.double()
    case .string:
      _ = try? node.string()
      _ = node.equals("a")
    case .array: for element in node.elements { count += walk(element) }
    case .object: for (key, value) in node.members { count += walk(key) + walk(value) }
    }
    return min(count, 15)
  }

  static let safetensors = FuzzTarget(
    name: "safetensors",
    seeds: [
      safetensors(
        #"{"a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"#
          + #""b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},"__metadata__":{"format":"pt"}}"#,
        data: 32),
      safetensors(
        #"{"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]},"e":{"dtype":"U8","shape":[0,5],"#
          + #""data_offsets":[8,8]},"f":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[8,11]}}   "#,
        data: 11),
      safetensors("{}", data: 0),
      safetensors(
        "{"
          + (0..<90).map {
            #""layers.\#($0).weight":{"dtype":"F16","shape":[1],"data_offsets":[\#(2 * $0),\#(2 * $0 + 2)]}"#
          }.joined(separator: ",") + "}", data: 180),
    ],
    words: [
      #""dtype":"#, #""shape":"#, #""data_offsets":"#, "F32", "BF16", "F4", "I64", "U8", "[0,0]",
      "{", "}",
      "__metadata__", "[", "]", ",", "\"", ":", "[4294967296,4294967296]", "[1,1,1,1]",
    ],
    repair: { bytes, original in
      // The header grew or shrank by what the file did; its end and the data stay where they belong.
      guard bytes.count >= 8, original.count >= 8 else { return }
      let length = original[..<8].enumerated().reduce(UInt64(0)) {
        $0 | UInt64($1.element) << (8 * UInt64($1.offset))
      }
      guard length <= UInt64(original.count - 8) else { return }
      let data = original.count - 8 - Int(length)
      let header = UInt64(max(0, bytes.count - 8 - data))
      for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: header >> (8 * UInt64(index))) }
    },
    run: { bytes throws(TinctureError) in
      let file = try SafetensorsFile(InputFile(memory: bytes, name: "fuzz"))
      try readAll(file)
      return min(file.tensors.count, 7) << 2 | min(file.metadata.count, 3)
    })

  private static func safetensors(_ header: String, data: Int) -> [UInt8] {
    let length = UInt64(header.utf8.count)
    return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * UInt64($0))) }
      + Array(header.utf8)
      + [UInt8](repeating: 0x3f, count: data)
  }

  static let index = FuzzTarget(
    name: "index",
    seeds: [
      #"{"metadata":{"total_size":128},"weight_map":{"a":"model-00001-of-00002.safetensors","#
        + #""b":"model-00002-of-00002.safetensors","c":"model-00001-of-00002.safetensors"}}"#,
      #"{"weight_map":{"x":"x.safetensors"}}"#,
    ].map { Array($0.utf8) },
    words: [
      "weight_map", "../", "/", ".safetensors", "\"", ":", ",", "{", "}", "metadata", "total_size",
      "\\u0000",
    ],
    run: { bytes throws(TinctureError) in
      let index = try SafetensorsIndex(bytes, path: "fuzz")
      return min(index.shards.count, 15)
    })

  static let gguf = FuzzTarget(
    name: "gguf", seeds: ggufSeeds,
    words: [
      "general.alignment", "split.count", "split.no", "GGUF", "\u{3}\0\0\0", "\0\0\0\0\0\0\0\0",
      "weight",
    ],
    run: { bytes throws(TinctureError) in
      let file = try GGUFFile(path: "fuzz", files: [InputFile(memory: bytes, name: "fuzz")])
      try readAll(file)
      try layOutAgain(file)
      return min(file.tensors.count, 7) << 3 | min(file.metadata.count, 7)
    })

  /// A file that could be read can be written, and the header written reads as the same again.
  private static func layOutAgain(_ file: GGUFFile) throws(TinctureError) {
    let hasNested = file.metadata.contains {
      if case .array(.arrays) = $0.value { true } else { false }
    }
    guard !hasNested else { return }
    let requests = file.tensors.map {
      GGUFLayout.Request(name: $0.name, type: $0.type, shape: $0.shape)
    }
    let layout = try GGUFLayout(metadata: file.metadata, tensors: requests)
    let data = Int(layout.byteCount) - layout.header.count
    let bytes = layout.header + [UInt8](repeating: 0, count: data)
    let again = try GGUFFile(path: "again", files: [InputFile(memory: bytes, name: "again")])
    let twice = try GGUFLayout(metadata: again.metadata, tensors: requests)
    precondition(twice.header == layout.header, "a header read back is another one")
    precondition(again.tensors == layout.tensors, "tensors read back are others")
  }

  private static func readAll(_ source: some TensorSource) throws(TinctureError) {
    for tensor in source.tensors {
      // The reader has promised that every tensor lies within its file.
      let count = tensor.shape.rowCount * tensor.rowByteCount
      precondition(UInt64(count) == tensor.byteCount, "rows of \(tensor.name)")
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
      defer { buffer.deallocate() }
      try source.read(tensor, rows: 0..<tensor.shape.rowCount, into: buffer)
    }
  }

  private static var ggufSeeds: [[UInt8]] {
    let values: [(key: String, value: GGUFValue)] = [
      ("general.architecture", .string("llama")), ("a.u8", .uint8(1)), ("a.i8", .int8(-1)),
      ("a.u16", .uint16(2)), ("a.i16", .int16(-2)), ("a.i32", .int32(-3)), ("a.u64", .uint64(4)),
      ("a.i64", .int64(-4)), ("a.f32", .float32(0.5)), ("a.f64", .float64(0.25)),
      ("a.bool", .bool(true)),
    ]
    let arrays: [(key: String, value: GGUFValue)] = [
      ("tokens", .array(.strings(ByteStrings(["<s>", "a", "bc"].map { Array($0.utf8) })))),
      ("scores", .array(.float32([0, -1, -2]))), ("types", .array(.int32([3, 1, 1]))),
      ("flags", .array(.bool([true, false]))), ("general.alignment", .uint32(64)),
    ]
    let tensors: [GGUFLayout.Request] = [
      .init(name: "a.weight", type: .element(.f32), shape: Shape(2, 4)),
      .init(name: "b.weight", type: .block(.q8_0), shape: Shape(2, 32)),
      .init(name: "c.weight", type: .element(.bf16), shape: Shape(3)),
    ]
    let vocabulary: [(key: String, value: GGUFValue)] = [
      ("tokens", .array(.strings(ByteStrings((0..<400).map { Array("token\($0)".utf8) })))),
      ("scores", .array(.float32([Float](repeating: 0, count: 400)))),
    ]
    let split: [(key: String, value: GGUFValue)] = values.prefix(1) + []
    var seeds = [
      file(try? GGUFLayout(metadata: values, tensors: tensors)),
      file(try? GGUFLayout(metadata: arrays, tensors: Array(tensors.prefix(1)))),
      file(try? GGUFLayout(metadata: split, tensors: [])),
      file(try? GGUFLayout(metadata: vocabulary, tensors: tensors)),
      file(
        try? GGUFSplitLayout(metadata: split, tensors: tensors, partByteLimit: 1 << 20).parts.first),
    ]
    // Arrays of arrays, which we read but do not write.
    var nested = Array("GGUF".utf8)
    nested += [3, 0, 0, 0] + little(0) + little(1) + little(1) + [UInt8(ascii: "n"), 9, 0, 0, 0]
    nested += [9, 0, 0, 0] + little(2)
    nested += [0, 0, 0, 0] + little(2) + [1, 2] + [8, 0, 0, 0] + little(1) + little(1) + [65]
    seeds.append(nested)
    return seeds
  }

  private static func little(_ value: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
  }

  /// The whole file of a layout, its data 0x3f bytes.
  private static func file(_ layout: GGUFLayout?) -> [UInt8] {
    guard let layout else { preconditionFailure("a seed cannot be laid out") }
    return layout.header
      + [UInt8](repeating: 0x3f, count: Int(layout.byteCount) - layout.header.count)
  }

  private static func statistics(_ bytes: [UInt8]) throws(TinctureError) -> Int {
    let file = try StatisticsFile(InputFile(memory: bytes, name: "fuzz"))
    for name in file.names {
      _ = try? file.importance(for: name, rowLength: 3)
    }
    return min(file.names.count, 7) << 2 | min(file.datasets.count, 3)
  }

  static let imatrixGGUF = FuzzTarget(
    name: "imatrix-gguf",
    seeds: [
      file(
        try? GGUFLayout(
          metadata: [
            ("general.type", .string("imatrix")),
            ("imatrix.datasets", .array(.strings(ByteStrings([[65]])))),
            ("imatrix.chunk_count", .uint32(3)), ("imatrix.chunk_size", .uint32(512)),
          ],
          tensors: [
            .init(name: "w.in_sum2", type: .element(.f32), shape: Shape(2, 3)),
            .init(name: "w.counts", type: .element(.f32), shape: Shape(2, 1)),
            .init(name: "v.in_sum2", type: .element(.f32), shape: Shape(5)),
            .init(name: "v.counts", type: .element(.f32), shape: Shape(1)),
          ]))
    ],
    words: [".in_sum2", ".counts", "imatrix.chunk_count", "imatrix.datasets", "\0\0\u{0}\u{7f}"],
    run: { bytes throws(TinctureError) in try statistics(bytes) })

  static let imatrixLegacy = FuzzTarget(
    name: "imatrix-dat",
    seeds: [
      [2, 0, 0, 0, 1, 0, 0, 0, 65, 2, 0, 0, 0, 3, 0, 0, 0]
        + [UInt8](repeating: 0x3f, count: 12) + [2, 0, 0, 0, 66, 67, 1, 0, 0, 0, 1, 0, 0, 0]
        + [0x3f, 0x3f, 0x3f, 0x3f, 7, 0, 0, 0, 3, 0, 0, 0, 97, 98, 99],
      [1, 0, 0, 0, 1, 0, 0, 0, 65, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 128, 63],
    ],
    words: ["\u{1}\0\0\0", "\0\0\0\0"],
    run: { bytes throws(TinctureError) in try statistics(bytes) })
}
