import TinctureCore

extension SpecialTokens {
  /// Notes for roles to which the files give different tokens, each with the one that counts and why.
  ///
  /// Rule: llama.cpp's converter (gguf-py `gguf/vocab.py`, SpecialVocab) takes the text of tokenizer_config.json where
  /// tokenizer.json lists it as an added token, else the id of config.json; a text that only the vocabulary has comes
  /// last. transformers' tokenizer goes by the text, its models by the ids.
  /// - Parameter idOf: the id of a text, added tokens included.
  func disagreements(
    _ files: TokenizerFiles, tokenCount: Int, idOf: ([UInt8]) -> Int?
  ) -> [String] {
    var notes: [String] = []
    for role in SpecialRole.named {
      // A name that the vocabulary lacks is told already.
      if let other = files.config.otherNames[role], let name = files.config.names[role],
        idOf(name) != nil
      {
        let isLegacy = files.config.addedTokens.isEmpty
        notes.append(
          "tokenizer_config.json names \(quoted(name)) the \(role.rawValue) token, special_tokens_map.json "
            + "\(quoted(other)): the former counts, as in llama.cpp's converter"
            + (isLegacy
              ? "; transformers takes the latter, since there is no added_tokens_decoder" : ""))
      }
      guard let chosen = id(of: role) else { continue }
      notes += disagreement(role, chosen, files, idOf)
      // An end that is not a token is left out, which is told already.
      let ids = (files.generationIDs[role] ?? []).filter { role != .eos || $0 < tokenCount }
      if !ids.isEmpty, !ids.contains(chosen) {
        notes.append(
          "generation_config.json has \(role.rawValue)_token_id \(list(ids)), the \(role.rawValue) token is \(chosen): "
            + (role == .eos ? "generation ends at both" : "the latter is written"))
      }
    }
    return notes
  }

  /// What config.json says of a role beside the text that a file gives it, or beside what stands in for a text.
  private func disagreement(
    _ role: SpecialRole, _ chosen: Int, _ files: TokenizerFiles, _ idOf: ([UInt8]) -> Int?
  ) -> [String] {
    guard let ids = files.modelIDs[role]?.ids else { return [] }
    let said = "config.json has \(role.rawValue)_token_id \(list(ids))"
    guard let name = files.config.names[role], let id = idOf(name) else {
      return ids.contains(chosen)
        ? []
        : [
          "\(said), the \(role.rawValue) token is \(chosen) by the tokenizer's own files: the latter counts, as in "
            + "llama.cpp's converter"
        ]
    }
    guard !ids.contains(id) else { return [] }
    let origin = files.config.origins[role].map { Folder.split($0).name } ?? ""
    return [
      "\(origin) names \(quoted(name)) (\(id)) the \(role.rawValue) token, \(said): "
        + winner(chosen, named: id, in: ids)
    ]
  }

  private func winner(_ chosen: Int, named id: Int, in ids: [Int]) -> String {
    if chosen == id { return "the former counts, as in llama.cpp's converter" }
    if ids.contains(chosen) {
      return
        "the latter counts, as in llama.cpp's converter, since tokenizer.json has no such added token"
    }
    return "\(chosen) counts, which the post-processor of tokenizer.json puts there"
  }

  func list(_ ids: [Int]) -> String {
    ids.count == 1 ? "\(ids[0])" : "[" + ids.map(String.init).joined(separator: ", ") + "]"
  }

  private func quoted(_ text: [UInt8]) -> String {
    "\"\(String(decoding: text, as: UTF8.self))\""
  }
}
