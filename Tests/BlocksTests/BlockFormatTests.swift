import Testing
import TinctureBlocks

@Suite struct BlockFormatTests {
  @Test func identities() {
    #expect(BlockFormat.all.count == 15)
    #expect(Set(BlockFormat.known.map(\.id)).count == BlockFormat.known.count)
    #expect(Set(BlockFormat.known.map(\.name)).count == BlockFormat.known.count)
    for format in BlockFormat.known {
      #expect(BlockFormat.with(id: format.id) == format)
      #expect(BlockFormat.named(format.name.lowercased())?.id == format.id)
      #expect(format.canEncode == BlockFormat.all.contains(format))
      #expect(BlockFormat.removedName(id: format.id) == nil)
    }
    #expect(BlockFormat.named("q4_k")?.name == "Q4_K")
    #expect(BlockFormat.named("q4_2") == nil)
  }

  /// ggml's numbers 0 to 42: each is a format or one that was removed.
  @Test func everyNumberIsAccountedFor() {
    for id in UInt32(0)...42 {
      #expect(
        (BlockFormat.with(id: id) == nil) == (BlockFormat.removedName(id: id) != nil), "\(id)")
    }
    #expect(BlockFormat.with(id: 43) == nil && BlockFormat.removedName(id: 43) == nil)
  }

  /// Numbers, block lengths and block sizes as ggml's headers have them (gguf-py's GGML_QUANT_SIZES agrees).
  @Test(arguments: [
    ("F32", 0, 1, 4), ("F16", 1, 1, 2), ("Q4_0", 2, 32, 18), ("Q4_1", 3, 32, 20),
    ("Q5_0", 6, 32, 22), ("Q5_1", 7, 32, 24), ("Q8_0", 8, 32, 34), ("Q8_1", 9, 32, 36),
    ("Q2_K", 10, 256, 84), ("Q3_K", 11, 256, 110), ("Q4_K", 12, 256, 144), ("Q5_K", 13, 256, 176),
    ("Q6_K", 14, 256, 210), ("Q8_K", 15, 256, 292), ("IQ2_XXS", 16, 256, 66),
    ("IQ2_XS", 17, 256, 74), ("IQ3_XXS", 18, 256, 98), ("IQ1_S", 19, 256, 50),
    ("IQ4_NL", 20, 32, 18), ("IQ3_S", 21, 256, 110), ("IQ2_S", 22, 256, 82),
    ("IQ4_XS", 23, 256, 136), ("I8", 24, 1, 1), ("I16", 25, 1, 2), ("I32", 26, 1, 4),
    ("I64", 27, 1, 8), ("F64", 28, 1, 8), ("IQ1_M", 29, 256, 56), ("BF16", 30, 1, 2),
    ("TQ1_0", 34, 256, 54), ("TQ2_0", 35, 256, 66), ("MXFP4", 39, 32, 17), ("NVFP4", 40, 64, 36),
    ("Q1_0", 41, 128, 18), ("Q2_0", 42, 64, 18),
  ])
  func geometry(_ name: String, _ id: Int, _ elements: Int, _ bytes: Int) throws {
    let format = try #require(BlockFormat.named(name))
    #expect(format.id == UInt32(id))
    #expect(format.elementsPerBlock == elements)
    #expect(format.bytesPerBlock == bytes)
    #expect(format.rowByteCount(elements * 3) == bytes * 3)
    #expect(format.rowByteCount(0) == 0)
    #expect(format.rowByteCount(-elements) == nil)
    #expect(elements == 1 || format.rowByteCount(elements + 1) == nil)
  }

  @Test func hugeRowsDoNotOverflow() {
    #expect(BlockFormat.f32.rowByteCount(Int.max / 2) == nil)
    #expect(BlockFormat.q8_0.rowByteCount(Int.max & ~31) == nil)
  }

  /// llama.cpp src/llama-quant.cpp: tensor_type_fallback.
  @Test func fallbacks() {
    let expected: [(BlockFormat, BlockFormat?)] = [
      (.q2_K, .q4_0), (.q3_K, .q4_0), (.q4_K, .q5_0), (.q5_K, .q5_1), (.q6_K, .q8_0),
      (.iq4_XS, .iq4_NL), (.q8_0, nil), (.q4_0, nil), (.iq4_NL, nil), (.f32, nil),
    ]
    for (format, fallback) in expected {
      #expect(format.fallback == fallback, "\(format.name)")
      #expect(format.usable(rowLength: 512) == format)
    }
    #expect(BlockFormat.q4_K.usable(rowLength: 640) == .q5_0)
    #expect(BlockFormat.q4_K.usable(rowLength: 40) == .f16)
    #expect(BlockFormat.q8_0.usable(rowLength: 40) == .f16)
    #expect(BlockFormat.f32.usable(rowLength: 7) == .f32)
  }
}
