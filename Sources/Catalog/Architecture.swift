import TinctureBlocks
import TinctureCore
import TinctureText

/// A model family as `formats/architectures/NAME.json5` describes it: names, roles, hyperparameters, metadata
/// and what llama.cpp computes. Pure data; `formats/README.md` explains every key.
package struct Architecture: Sendable {
  /// Which checkpoints the file is for.
  package struct Match: Sendable {
    /// Values of `architectures[0]` in config.json.
    package var architectures: [String] = []
    /// Values of `model_type`, looked at when config.json names no architecture.
    package var modelTypes: [String] = []
    /// Values of `model_type` that may stand beside `architectures`, but do not say this architecture alone.
    package var besideModelTypes: [String] = []
    /// A tensor that only this family has, looked at when config.json has neither.
    package var signature: NamePattern?
  }

  /// Tensors that stand under the same prefixes.
  package struct Group: Sendable {
    /// What may stand before the names; the empty prefix must be listed as well.
    package var prefixes: [String]
    package var tensors: [TensorRule]
  }

  /// Source tensors that no engine wants.
  package struct LeftOutRule: Sendable {
    package var pattern: NamePattern
    package var prefixes: [String]
    /// Why, for the report.
    package var reason: String
    package var condition: Condition?
    /// Whether the report says it even when all is well.
    package var isNoted: Bool
    /// Name of the tensor whose values it must repeat, nil when it may hold anything.
    package var repeats: String?
    /// Whether it must hold the numbers 0, 1, 2, …; a note tells when it does not.
    package var isCounting: Bool
  }

  /// A metadata entry made from a hyperparameter or a constant.
  package struct MetadataRule: Sendable {
    package enum Source: Sendable, Equatable {
      case hyperparameter(Hyperparameter)
      case bool(Bool)
    }
    package enum ValueType: String, Sendable, CaseIterable { case uint32, float32, bool }

    /// With `{arch}` in the place of the architecture's name.
    package var key: String
    package var source: Source
    package var type: ValueType
  }

  /// `formats/architectures/` file, for errors.
  package var fileName: String
  /// llama.cpp's name, the value of general.architecture.
  package var name: String
  package var match: Match
  /// How the vocabulary is written.
  package var tokenizer: VocabularyKind
  package var fields: [ConfigField]
  package var rotary: RotaryRule?
  package var window: WindowRule?
  package var queryScale: QueryScaleRule?
  /// Whether sentence-transformers modules (pooling, dense heads) are written.
  package var sentenceModules: SentenceModuleRule
  /// Endings that old checkpoints spell differently: `LayerNorm.gamma` → `LayerNorm.weight`.
  package var spellings: [(old: String, new: String)]
  package var groups: [Group]
  /// Tensors that no GGUF file holds and our own runtime computes with. They stand in `leftOut` too.
  package var heads: [Group]
  package var leftOut: [LeftOutRule]
  package var metadata: [MetadataRule]
  /// How the model computes.
  package var graph: GraphRule

  package var tensors: [TensorRule] { groups.flatMap(\.tensors) }

  /// The rules of which a file fulfils all or none, by their common name.
  package var tensorsTogether: [(name: String, rules: [TensorRule])] {
    var lists: [(name: String, rules: [TensorRule])] = []
    for rule in tensors {
      guard let name = rule.together else { continue }
      if let index = lists.firstIndex(where: { $0.name == name }) {
        lists[index].rules.append(rule)
      } else {
        lists.append((name, [rule]))
      }
    }
    return lists
  }
}

/// What an architecture does with the modules of sentence-transformers.
package enum SentenceModuleRule: String, Sendable, CaseIterable {
  /// modules.json is not looked at.
  case ignored
  /// Pooling becomes `{arch}.pooling_type`; dense layers are an error.
  case pooling
  /// Pooling, and up to two dense layers become `dense_2` and `dense_3`.
  case poolingAndDense
}

/// A condition of a rule; a new one is a new case here.
package enum Condition: String, Sendable, CaseIterable {
  /// The output head is the token embedding (`tie_word_embeddings`).
  case tied
  case untied
  /// `attention_bias` is true.
  case attentionBias
  /// `mlp_bias` is true.
  case feedForwardBias
  /// Rotary scaling of type llama3 is asked for.
  case rotaryFactors
}

/// A tensor of the GGUF and where it comes from.
package struct TensorRule: Sendable {
  /// Order of rows. See ``RowExpression/RowOrder``.
  package enum Order: String, Sendable, CaseIterable { case queryRotary, keyValueRotary }
  /// What is multiplied into the rows.
  package enum Fold: String, Sendable, CaseIterable { case queryScale }

  /// Names in the checkpoint without prefix; empty for a tensor that is computed or only met in GGUF files.
  package var from: [NamePattern]
  package var to: NamePattern
  package var role: Role
  /// Outermost first; empty when the shape is free (only for tensors without `from`).
  package var shape: [Dimension]
  /// Added to every value.
  package var add: Float
  package var order: Order?
  package var fold: Fold?
  /// Whether rows are cut or padded to the vocabulary's size.
  package var followsVocabulary: Bool
  package var condition: Condition?
  /// May be absent.
  package var isOptional: Bool
  /// Name of the rules that a file fulfils all or none of.
  package var together: String?
  /// The tensor that may hold this one together with others in a GGUF file (fused q, k, v).
  package var inside: NamePattern?
}

/// A size that shapes are made of.
package enum Dimension: String, Sendable, CaseIterable {
  case vocabulary, width, feedForward, headSize, contextLength, tokenTypes
  /// Heads × head size.
  case queryRows
  /// Key-value heads × head size.
  case keyValueRows
  /// Query rows, key rows and value rows in one tensor.
  case queryKeyValueRows
  /// Classes of a classifier in a GGUF file.
  case classes
  /// Half of the head size: one rotary factor for each pair.
  case rotaryPairs
  /// Any size: that of a classifier, which is the tensor's own.
  case any
}
