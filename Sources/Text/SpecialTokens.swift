import TinctureCore

/// Which token plays which part, and which of them a tokenizer adds around a text.
///
/// The rules are those of gguf-py `gguf/vocab.py`, SpecialVocab, so that a file means the same to llama.cpp whoever
/// made it: the post-processor's template decides what is added; ids come from the tokens that tokenizer_config.json
/// names, then from config.json. Two things go further: names that only the vocabulary knows are looked up there, and
/// lists of end tokens are not dropped.
public struct SpecialTokens: Sendable {
  /// In the order of writing.
  public private(set) var ids: [(role: SpecialRole, id: Int)] = []
  /// Whether a tokenizer adds the token; absent when nothing says.
  public private(set) var adds: [SpecialRole: Bool] = [:]
  public private(set) var notes: [String] = []

  private var names: [SpecialRole: [UInt8]]
  private var roles = SpecialRole.named

  /// - Parameters:
  ///   - tokenCount: ids from here on have no token.
  ///   - addsBOSByDefault: whether llama.cpp puts a begin token before a text unless it is told otherwise.
  ///   - idOf: the id of a text in the vocabulary.
  ///   - textOf: the text of an id, for telling which end tokens llama.cpp knows by itself.
  /// - Throws: `tokenizer.specialToken` when a file names a begin, end or padding token, or the post-processor any token,
  ///   that does not exist: the library would give it an id that no row of the embedding has; `tokenizer.contradiction` when the post-processor
  ///   gives a token another id than the vocabulary.
  package init(
    _ files: TokenizerFiles, tokenCount: Int, isWordPiece: Bool,
    addsBOSByDefault: Bool = false,
    idOf: ([UInt8]) -> Int?, textOf: (Int) -> [UInt8]?
  ) throws(TinctureError) {
    names = files.config.names
    try checkNames(files, idOf)
    if isWordPiece {
      // The names that transformers' BERT tokenizers have unless a file says otherwise.
      let defaults: [(SpecialRole, String)] = [
        (.unk, "[UNK]"), (.sep, "[SEP]"), (.pad, "[PAD]"), (.cls, "[CLS]"), (.mask, "[MASK]"),
      ]
      for (role, name) in defaults where names[role] == nil && idOf(Array(name.utf8)) != nil {
        names[role] = Array(name.utf8)
      }
    }
    if files.json != nil || isWordPiece {
      names[.bos] = names[.bos] ?? names[.cls]
      names[.eos] = names[.eos] ?? names[.sep]
    }
    for step in files.json?.postProcessor ?? [] { read(step) }
    try checkPostProcessor(files, idOf)
    if files.json != nil, !isWordPiece { settleAbsent(files, addsBOSByDefault: addsBOSByDefault) }

    for role in roles {
      guard let flag = files.config.addFlags[role] else { continue }
      if let fromTemplate = adds[role] {
        if fromTemplate != flag {
          notes.append(
            "tokenizer_config.json has add_\(role.rawValue)_token \(flag), the post-processor of "
              + "tokenizer.json says \(fromTemplate): the post-processor counts")
        }
      } else {
        adds[role] = flag
      }
    }

    let added = files.json?.addedTokens ?? []
    for role in roles {
      guard let name = names[role], let token = added.first(where: { $0.content == name }) else {
        continue
      }
      set(role, token.id, below: tokenCount, "tokenizer_config.json")
    }
    for role in SpecialRole.named {
      guard let given = files.modelIDs[role], !given.isList, let id = given.ids.first else {
        continue
      }
      set(role, id, below: tokenCount, "config.json")
    }
    for role in roles {
      guard id(of: role) == nil, let name = names[role], let id = idOf(name) else { continue }
      set(role, id, below: tokenCount, "the vocabulary")
    }
    addEndTokens(files, tokenCount: tokenCount, textOf: textOf)
    notes += files.notes
    let listed = added + files.config.addedTokens + files.addedTokens
    notes += disagreements(files, tokenCount: tokenCount) { name in
      listed.first { $0.content == name }?.id ?? idOf(name)
    }
  }

  public func id(of role: SpecialRole) -> Int? { ids.first { $0.role == role }?.id }

  private mutating func set(_ role: SpecialRole, _ id: Int, below limit: Int, _ origin: String) {
    guard self.id(of: role) == nil else { return }
    guard id < limit else {
      notes.append(
        "\(origin) gives the \(role.rawValue) token the id \(id), which is not a token (there are "
          + "\(limit)): left out")
      return
    }
    ids.append((role, id))
  }

  /// Every token that tokenizer_config.json or special_tokens_map.json names is one, at least an added one without a row.
  private mutating func checkNames(
    _ files: TokenizerFiles, _ idOf: ([UInt8]) -> Int?
  ) throws(TinctureError) {
    let added =
      (files.json?.addedTokens ?? []) + files.config.addedTokens + files.addedTokens
    for role in SpecialRole.named {
      guard let name = names[role], let origin = files.config.origins[role],
        idOf(name) == nil, !added.contains(where: { $0.content == name })
      else { continue }
      guard [.bos, .eos, .pad].contains(role) else {
        let other = standIn(for: role, files, added, idOf)
        names[role] = other?.name
        notes.append(
          "\(Folder.split(origin).name) names the \(role.rawValue) token \"\(text(name))\", which the vocabulary "
            + "does not have: "
            + (other.map { "\"\(text($0.name))\" of \($0.file) counts" } ?? "left out"))
        continue
      }
      throw TinctureError(
        .init("tokenizer.specialToken", .invalidInput),
        "the vocabulary does not have the \(role.rawValue) token that the file names",
        place: .init(file: origin, key: "\(role.rawValue)_token"),
        expected: "a token of the vocabulary",
        found: "\"\(text(name))\"",
        advice:
          "name the token that the model was trained with, or set the field to null if there is none"
      )
    }
  }

  /// The token that another file names for a role, if the vocabulary has it.
  private func standIn(
    for role: SpecialRole, _ files: TokenizerFiles, _ added: [AddedToken], _ idOf: ([UInt8]) -> Int?
  ) -> (name: [UInt8], file: String)? {
    var candidates: [(name: [UInt8]?, file: String)] = [
      (files.config.otherNames[role], "special_tokens_map.json")
    ]
    if role == .unk {
      candidates.append((files.json?.unknownToken, "tokenizer.json"))
      if let model = files.sentencePiece {
        let piece = model.types.firstIndex(of: .unknown).map { Array(model.pieces[$0]) }
        candidates.append((piece, "tokenizer.model"))
      }
    }
    for case (let name?, let file) in candidates
    where idOf(name) != nil || added.contains(where: { $0.content == name }) {
      return (name, file)
    }
    return nil
  }

  // MARK: The post-processor

  /// Where the post-processor puts no token before or after a text, transformers has none there, whatever the flags say
  /// and whatever llama.cpp would do by itself.
  private mutating func settleAbsent(_ files: TokenizerFiles, addsBOSByDefault: Bool) {
    for (role, isDefault) in [(SpecialRole.bos, addsBOSByDefault), (.eos, false)] {
      guard adds[role] == nil, files.config.addFlags[role] ?? isDefault else { continue }
      adds[role] = false
      guard files.config.addFlags[role] == nil else { continue }
      notes.append(
        "the post-processor of tokenizer.json puts no \(role.rawValue) token before a text: llama.cpp is told not to either"
      )
    }
  }

  /// The library puts the ids of the post-processor around a text, llama.cpp those of the tokens.
  private func checkPostProcessor(
    _ files: TokenizerFiles, _ idOf: ([UInt8]) -> Int?
  ) throws(TinctureError) {
    guard let json = files.json else { return }
    let listed = json.addedTokens + files.config.addedTokens + files.addedTokens
    for token in json.specialIDs {
      let name = Array(token.name.utf8)
      guard let id = listed.first(where: { $0.content == name })?.id ?? idOf(name) else {
        throw TinctureError(
          .init("tokenizer.specialToken", .invalidInput),
          "the post-processor puts \"\(token.name)\" around a text, and no file lists that token",
          place: .init(file: json.path, key: "post_processor"),
          expected: "a token of the vocabulary or an added token", found: "id \(list(token.ids))",
          advice: "correct the post-processor, or add the token")
      }
      guard token.ids != [id] else { continue }
      throw TinctureError(
        .init("tokenizer.contradiction", .invalidInput),
        "the post-processor gives \"\(token.name)\" another id than the vocabulary",
        place: .init(file: json.path, key: "post_processor"),
        expected: "\(id), as in the vocabulary", found: list(token.ids),
        advice:
          "correct the ids of the post-processor, which transformers puts around a text, or save the "
          + "tokenizer anew")
    }
  }

  private mutating func read(_ step: PostProcessorStep) {
    switch step {
    case .byteLevel:
      adds[.bos] = adds[.bos] ?? false
      adds[.eos] = adds[.eos] ?? false
    case .roberta(let separator, let classifier):
      adds[.bos] = true
      adds[.eos] = true
      adds[.sep] = true
      names[.cls] = names[.cls] ?? Array(classifier.utf8)
      names[.sep] = names[.sep] ?? Array(separator.utf8)
    case .bert:
      break
    case .template(let single, let pair):
      readTemplate(single, pair)
    }
  }

  private mutating func readTemplate(
    _ single: [PostProcessorStep.Piece], _ pair: [PostProcessorStep.Piece]
  ) {
    var first: [UInt8]?
    var last: [UInt8]?
    if single.count > 1 {
      first = special(single.first)
      last = special(single.last)
      if let first { readFirst(first) }
      if let last { readLast(last) }
      let between = single.dropFirst().dropLast().compactMap { special($0).map(text) }
      if !between.isEmpty {
        notes.append(
          "the post-processor puts more than one token before or after a text, which llama.cpp cannot: not added "
            + between.map { "\"\($0)\"" }.joined(separator: ", "))
      }
    }
    readPair(pair, first: first, last: last)
  }

  private func special(_ piece: PostProcessorStep.Piece?) -> [UInt8]? {
    guard case .special(let name)? = piece else { return nil }
    return Array(name.utf8)
  }

  private mutating func readFirst(_ first: [UInt8]) {
    if first != names[.bos], first != names[.cls] {
      names[.bos] = names[.bos] ?? first
      names[.cls] = names[.cls] ?? first
    }
    adds[.bos] = first == names[.bos] || first == names[.cls]
    if adds[.bos] == false {
      notes.append(
        "the post-processor starts a text with \"\(text(first))\", which is neither the bos nor the cls token: "
          + "not added")
    }
  }

  /// A last token that is not the eos token becomes it; the former eos stays an end token as eot or eom.
  private mutating func readLast(_ last: [UInt8]) {
    if last != names[.eos] {
      if let former = names[.eos] {
        if let spare = [SpecialRole.eot, .eom].first(where: { !roles.contains($0) }) {
          roles.append(spare)
          names[spare] = former
        } else {
          notes.append("the eos token \"\(text(former))\" is replaced by \"\(text(last))\"")
        }
      }
      names[.eos] = last
    }
    adds[.eos] = true
  }

  /// `A [sep] [eos] B`: whether a separator is added between two texts.
  private mutating func readPair(
    _ pair: [PostProcessorStep.Piece], first: [UInt8]?, last: [UInt8]?
  ) {
    var middle = pair[...]
    if let first, special(middle.first) == first { middle = middle.dropFirst() }
    if let last, special(middle.last) == last { middle = middle.dropLast() }
    guard middle.count > 2, middle.first == .sequence("A"), middle.last == .sequence("B") else {
      return
    }
    middle = middle.dropFirst().dropLast()
    let separators = [names[.sep], names[.eos]]
    var addsSeparator = false
    if let name = special(middle.first), separators.contains(name), last == nil {
      addsSeparator = true
    }
    if middle.count == 2, let name = special(middle.last), separators.contains(name) {
      addsSeparator = true
    }
    adds[.sep] = addsSeparator
    if addsSeparator { names[.sep] = names[.sep] ?? names[.eos] }
  }

  // MARK: End tokens

  /// Lists of end tokens: the first is eos unless it is known; those that llama.cpp would not find become eot, eom.
  private mutating func addEndTokens(
    _ files: TokenizerFiles, tokenCount: Int, textOf: (Int) -> [UInt8]?
  ) {
    var ends: [Int] = []
    for id in (files.modelIDs[.eos]?.ids ?? []) + files.generationEndIDs where !ends.contains(id) {
      ends.append(id)
    }
    for id in ends {
      guard id < tokenCount else {
        notes.append("the end token \(id) is not a token (there are \(tokenCount)): left out")
        continue
      }
      if self.id(of: .eos) == nil {
        ids.append((.eos, id))
        continue
      }
      let isKnown = textOf(id).map { text in
        SpecialTokens.knownEnds.contains { text.elementsEqual($0.utf8) }
      }
      if ids.contains(where: { $0.id == id && [.eos, .eot, .eom].contains($0.role) })
        || isKnown == true
      {
        continue
      }
      if let spare = [SpecialRole.eot, .eom].first(where: { self.id(of: $0) == nil }) {
        ids.append((spare, id))
        notes.append(
          "token \(id) also ends generation (eos_token_id\(ends.count > 1 ? " is a list" : "")): written as "
            + spare.rawValue)
      } else {
        notes.append("token \(id) also ends generation, but no key is left to say so")
      }
    }
  }

  private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
