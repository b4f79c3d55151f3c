import Foundation
import Testing
import TinctureCore
import TinctureTestSupport
import TinctureText

/// Builds the protocol-buffer bytes of a tokenizer.model.
private struct ModelBytes {
  var bytes: [UInt8] = []

  static func varint(_ value: UInt64) -> [UInt8] {
    var rest = value
    var bytes: [UInt8] = []
    repeat {
      bytes.append(UInt8(rest & 0x7F) | (rest > 0x7F ? 0x80 : 0))
      rest >>= 7
    } while rest > 0
    return bytes
  }

  mutating func message(_ field: UInt64, _ content: [UInt8]) {
    bytes += ModelBytes.varint(field << 3 | 2) + ModelBytes.varint(UInt64(content.count)) + content
  }

  mutating func number(_ field: UInt64, _ value: UInt64) {
    bytes += ModelBytes.varint(field << 3) + ModelBytes.varint(value)
  }

  mutating func float(_ field: UInt64, _ value: Float) {
    bytes += ModelBytes.varint(field << 3 | 5)
    bytes += (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
  }

  mutating func piece(_ text: [UInt8], _ score: Float = 0, type: UInt64 = 1) {
    var inner = ModelBytes()
    inner.message(1, text)
    inner.float(2, score)
    inner.number(3, type)
    message(1, inner.bytes)
  }

  mutating func trainer(_ type: UInt64) {
    var inner = ModelBytes()
    inner.number(3, type)
    message(2, inner.bytes)
  }
}

@Suite struct SentencePieceTests {
  @Test func piecesScoresTypesAndFlags() throws {
    var model = ModelBytes()
    model.piece(Array("<unk>".utf8), type: 2)
    model.piece(Array("\u{2581}a".utf8), -1.5)
    model.trainer(2)
    var normalizer = ModelBytes()
    normalizer.message(1, Array("identity".utf8))
    normalizer.number(3, 0)
    model.message(3, normalizer.bytes)
    model.number(99, 7)
    let parsed = try SentencePieceModel(model.bytes, file: "m")
    #expect(parsed.algorithm == .bytePair)
    #expect(parsed.pieces.text(1) == "\u{2581}a")
    #expect(parsed.scores == [0, -1.5])
    #expect(parsed.types == [.unknown, .normal])
    #expect(!parsed.addsDummyPrefix && parsed.removesExtraWhitespaces)
    #expect(parsed.normalizerName == "identity")
  }

  @Test func hostile() {
    func parsed(_ change: (inout ModelBytes) -> Void) -> String? {
      var model = ModelBytes()
      change(&model)
      return code { try SentencePieceModel(model.bytes, file: "m") }
    }
    func piece(_ bytes: [UInt8]) -> String? { parsed { $0.message(1, bytes) } }
    #expect(parsed { _ in } == "sentencepiece.noPieces")
    #expect(parsed { $0.piece([0x61]) } == "sentencepiece.noTrainerSpec")
    #expect(parsed { $0.trainer(2) } == "sentencepiece.noPieces")
    #expect(parsed { $0.trainer(3) } == "sentencepiece.algorithm")
    #expect(parsed { $0.bytes = [0x0A, 0x80] } == "sentencepiece.truncated")
    #expect(parsed { $0.bytes = [0x0A, 0x05, 0x0A] } == "sentencepiece.truncated")
    #expect(
      parsed { $0.bytes = [0x0A] + [UInt8](repeating: 0xFF, count: 9) + [0x01] }
        == "sentencepiece.truncated")
    #expect(
      parsed { $0.bytes = [UInt8](repeating: 0xFF, count: 12) } == "sentencepiece.truncated")
    #expect(parsed { $0.number(1, 5) } == "sentencepiece.wireType")
    #expect(parsed { $0.bytes = [0x0B] } == "sentencepiece.wireType")
    #expect(parsed { $0.bytes = [0x02, 0x00] } == "sentencepiece.wireType")
    #expect(piece([0x0D, 0, 0, 0, 0]) == "sentencepiece.wireType")
    #expect(piece([0x15, 0, 0]) == "sentencepiece.truncated")
    #expect(piece([]) == "sentencepiece.emptyPiece")
    #expect(parsed { $0.piece([0xC3]) } == "sentencepiece.utf8")
    #expect(parsed { $0.piece([0xED, 0xA0, 0x80]) } == "sentencepiece.utf8")
    #expect(parsed { $0.piece([0x61], .nan) } == "sentencepiece.score")
    #expect(parsed { $0.piece([0x61], -.infinity) } == "sentencepiece.score")
    #expect(parsed { $0.piece([0x61], type: 7) } == "sentencepiece.pieceType")
    #expect(
      parsed { model in
        model.piece([0x61])
        model.piece([0x61])
      } == "sentencepiece.duplicatePiece")
  }

  /// Every truncation of a good file is an error or a shorter model, never a trap.
  @Test func truncations() throws {
    let path = Repository.path("golden/tokens/llama-spm/tokenizer.model")
    let whole = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    #expect(try SentencePieceModel(whole, file: path).pieces.count == 420)
    for length in stride(from: 0, to: whole.count, by: 7) {
      if let model = try? SentencePieceModel(Array(whole[..<length]), file: path) {
        #expect(model.pieces.count <= 420)
      }
    }
  }
}
