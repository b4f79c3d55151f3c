import TinctureContainers
import TinctureCore

/// What a pack says about itself: who computed it, of what, and what was kept.
package struct PackDescription: Sendable {
  /// Who wrote it: `tincture 0.1.0`, `transformers 5.14.1`.
  package var producer: String
  /// How it was computed: `exact`, `engine`, or a producer's own word such as `float32`.
  package var arithmetic: String
  /// The instruction set of the kernels, or what the producer knows of it.
  package var instructionSet: String?
  /// The name of the file or folder, without the way to it.
  package var modelName: String
  /// llama.cpp's name of the architecture.
  package var architecture: String
  /// How the matrices are stored: `BF16`, or several names.
  package var storedTypes: [String]
  /// ``ModelDigest`` of the weights, as hexadecimal text; nil when the producer did not compute it.
  package var modelDigest: String?
  /// Rows of logits have this many entries; nil for an encoder without them.
  package var vocabularySize: Int?
  /// SHA-256 over the vocabulary's tokens, nil when the producer did not compute it.
  package var vocabularyDigest: String?
  /// How many logits of a row are kept: nil for all.
  package var top: Int?
  /// Sketches of what is not kept of the rows; nil when all is kept.
  package var tail: TailDescription?
  /// Sketches of hidden states, when layers were recorded.
  package var stages: StageDescription?
  /// What changes the computation and is no weight, by name; empty when the producer does not say.
  package var settings: [(name: String, value: String)]
  /// Sketches of the weights, where they were recorded.
  package var weights: WeightSketchDescription?
  /// What the model's tokenizer is made of; nil when the producer did not say.
  package var tokenizer: TokenizerFacts?

  package init(
    producer: String, arithmetic: String, instructionSet: String?, modelName: String,
    architecture: String, storedTypes: [String], modelDigest: String?, vocabularySize: Int?,
    vocabularyDigest: String?, top: Int?, stages: StageDescription?,
    tail: TailDescription? = TailDescription(), tokenizer: TokenizerFacts? = nil,
    settings: [(name: String, value: String)] = [],
    weights: WeightSketchDescription? = nil
  ) {
    self.producer = producer
    self.arithmetic = arithmetic
    self.instructionSet = instructionSet
    self.modelName = modelName
    self.architecture = architecture
    self.storedTypes = storedTypes
    self.modelDigest = modelDigest
    self.vocabularySize = vocabularySize
    self.vocabularyDigest = vocabularyDigest
    self.top = top
    self.stages = stages
    self.settings = settings
    self.weights = weights
    let isWhole = vocabularySize.map { (top ?? $0) >= $0 } ?? true
    self.tail = isWhole ? nil : tail
    self.tokenizer = tokenizer
  }

  /// The activation that was computed; nil when the producer does not say.
  package var activation: String? { settings.first { $0.name == "activation" }?.value }

  /// Entries kept of each row; 0 without logits.
  package var keptCount: Int {
    guard let vocabularySize else { return 0 }
    return min(top ?? vocabularySize, vocabularySize)
  }

  /// Whether every entry of a row is kept.
  package var isFull: Bool { keptCount == vocabularySize }
}

/// What the sketches of hidden states are made of.
package struct StageDescription: Sendable, Equatable {
  /// Layers of the model. Stage 0 is what enters layer 0, stage i + 1 what leaves layer i; one more, where the model has
  /// a final norm, is what leaves that.
  package var layerCount: Int
  /// Elements of a hidden state.
  package var width: Int
  /// Numbers kept of each, beside its squared length.
  package var projectionCount: Int
  /// Seed of the signs.
  package var seed: UInt64

  package init(layerCount: Int, width: Int, projectionCount: Int = 16, seed: UInt64 = 1) {
    self.layerCount = layerCount
    self.width = width
    self.projectionCount = projectionCount
    self.seed = seed
  }

  /// What people call stage `index`.
  package func name(_ index: Int) -> String {
    index == 0 ? "input embeddings" : index <= layerCount ? "layer \(index - 1)" : "final norm"
  }

  /// The layer behind stage `index`, nil for the embeddings and the final norm.
  package func layer(_ index: Int) -> Int? {
    index > 0 && index <= layerCount ? index - 1 : nil
  }
}

/// The rows an encoder gives beside logits.
public enum VectorKind: String, Sendable, CaseIterable {
  /// The hidden state of every token after the last layer.
  case hidden
  /// One row for the whole text, pooled as the model says.
  case pooled
  /// BERT's own pooler: one row made from the first token's.
  case pooler
  /// What a head says: one row for the text or one a token.
  case scores

  /// Whether it comes from a head that stands on the encoder, which a converted file may lack.
  package var isHead: Bool { self == .pooler || self == .scores }
}

/// How a prompt's text becomes token ids.
package enum PromptForm: String, Sendable, CaseIterable {
  /// The tokenizer puts around it what it puts around a text.
  case text
  /// A chat template has written it, special tokens and all: nothing is put around it.
  case conversation
}

/// A prompt as it was recorded.
package struct PackPrompt: Sendable {
  /// The text behind it; nil when only ids were given.
  package var text: String?
  /// How the text became ids; nil without a text, or in a pack that does not say.
  package var form: PromptForm?
  /// Whether the ids are the first ones of more.
  package var isCut: Bool
  package var ids: [Int32]
  /// What each id stands for in the text, as bytes; empty for marks such as the beginning of a text.
  package var pieces: [[UInt8]]

  package init(
    text: String?, form: PromptForm? = nil, isCut: Bool = false, ids: [Int32], pieces: [[UInt8]]
  ) {
    precondition(ids.count == pieces.count, "\(ids.count) ids, \(pieces.count) pieces")
    self.text = text
    self.form = form
    self.isCut = isCut
    self.ids = ids
    self.pieces = pieces
  }
}

/// Some rows of one prompt's logits in one frame.
package struct LogitFrameEntry: Sendable {
  package let prompt: Int
  /// Position of the first row.
  package let first: Int
  package let rowCount: Int
  package let frame: PackFrame
}

/// The sketches of the tails of some rows of one prompt's logits in one frame.
package struct TailFrameEntry: Sendable {
  package let prompt: Int
  package let first: Int
  package let rowCount: Int
  package let frame: PackFrame
}

/// Some rows of an encoder's vectors in one frame.
package struct VectorFrameEntry: Sendable {
  package let kind: VectorKind
  package let prompt: Int
  package let first: Int
  package let rowCount: Int
  package let columnCount: Int
  package let frame: PackFrame
}

/// The sketches of one stage, all prompts in order.
package struct StageFrameEntry: Sendable {
  package let stage: Int
  package let frame: PackFrame
}
