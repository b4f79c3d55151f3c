import TinctureCore

extension SpecialTokens {
  /// Notes for roles to which the files give different tokens, each with the one that counts and why.
  ///
  /// Rule: llama.cpp's converter (gguf-py `gguf/vocab.py`, SpecialVocab) takes the text of tokenizer_config.json where
  /// tokenizer.json lists it as an added token, else the id of config.json; a text that only the vocabulary has comes
  /// last. transformers' tokenizer goes by the text, its models by the ids.
  /// - Parameter idOf: the id of a text, added tokens included.
  func disagreements(_ files: TokenizerFiles, idOf: ([UInt8]) -> Int?) -> [String] {
    var notes: [String] = []
    for role in SpecialRole.named {
      if let other = files.config.otherNames[role], let name = files.config.names[role] {
        let isLegacy = files.config.addedTokens.isEmpty
        notes.append(
          "tokenizer_config.json names \(quoted(name)) the \(role.rawValue) token, special_tokens_map.json "
            + "\(quoted(other)): the former counts, as in llama.cpp's converter"
            + (isLegacy
              ? "; transformers takes the latter, since there is no added_tokens_decoder" : ""))
      }
      guard let chosen = id(of: role) else { continue }
      let named = files.config.names[role].flatMap { name in idOf(name).map { (name, $0) } }
      if let ids = files.modelIDs[role]?.ids, let (name, id) = named, !ids.contains(id) {
        let origin = files.config.origins[role].map { Folder.split($0).name } ?? ""
        notes.append(
          "\(origin) names \(quoted(name)) (\(id)) the \(role.rawValue) token, config.json has "
            + "\(role.rawValue)_token_id \(list(ids)): \(winner(chosen, named: id, in: ids, origin))"
        )
      }
      if let ids = files.generationIDs[role], !ids.contains(chosen) {
        notes.append(
          "generation_config.json has \(role.rawValue)_token_id \(list(ids)), the \(role.rawValue) token is \(chosen): "
            + (role == .eos ? "generation ends at both" : "the latter is written"))
      }
    }
    return notes
  }

  private func winner(_ chosen: Int, named id: Int, in ids: [Int], _ origin: String) -> String {
    if chosen == id { return "the former counts, as in llama.cpp's converter" }
    if ids.contains(chosen) {
      return
        "the latter counts, as in llama.cpp's converter, since tokenizer.json has no such added token"
    }
    return "\(chosen) counts, which the post-processor of tokenizer.json puts there"
  }

  private func list(_ ids: [Int]) -> String {
    ids.count == 1 ? "\(ids[0])" : "[" + ids.map(String.init).joined(separator: ", ") + "]"
  }

  private func quoted(_ text: [UInt8]) -> String {
    "\"\(String(decoding: text, as: UTF8.self))\""
  }
}
