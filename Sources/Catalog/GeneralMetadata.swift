import TinctureContainers
import TinctureCore

/// The general.* entries: name, authorship, licence, base models, sampling advice.
///
/// Sources: llama.cpp gguf-py/gguf/metadata.py (Metadata.load, apply_metadata_heuristic,
/// set_gguf_meta_model);
/// what differs is in formats/spec/differences.md.
struct GeneralMetadata {
  /// Entries in the order llama.cpp's converter writes them, general.architecture and general.type first.
  ///
  /// - Throws: `generationConfig.*` for a malformed generation_config.json.
  static func entries(
    architecture: String, folder: String, config: CheckpointConfig, parameterCount: Int
  ) throws(TinctureError) -> [(key: String, value: GGUFValue)] {
    var entries: [(key: String, value: GGUFValue)] = [
      ("general.architecture", .string(GGUFString(architecture))),
      ("general.type", .string("model")),
    ]
    entries += try sampling(folder)
    let card = try ModelCard.open(folder: folder)
    entries += try identity(card, folder, config, parameterCount)
    entries += try licence(card)
    entries += relatives(card, parameterCount)
    let tags = (card.texts("tags") ?? []) + (card.texts("pipeline_tag") ?? [])
    if card.texts("tags") != nil || card.texts("pipeline_tag") != nil {
      entries.append(("general.tags", .array(.strings(ByteStrings(tags.map { Array($0.utf8) })))))
    }
    if card.texts("languages") != nil || card.texts("language") != nil {
      let languages = (card.texts("languages") ?? []) + (card.texts("language") ?? [])
      entries.append(
        ("general.languages", .array(.strings(ByteStrings(languages.map { Array($0.utf8) })))))
    }
    return entries
  }

  private static func sampling(
    _ folder: String
  ) throws(TinctureError) -> [(key: String, value: GGUFValue)] {
    let path = Folder.join(folder, "generation_config.json")
    guard Folder.kind(path) == .file else { return [] }
    let bytes = try InputFile(path: path).contents(limit: CheckpointConfig.byteLimit)
    let root = try JSON.parse(bytes, file: path, code: "generationConfig")
    _ = try root.object()
    if let node = root.present("do_sample") { _ = try node.bool() }
    let fields: [(keys: [String], name: String, isInteger: Bool)] = [
      (["top_k"], "top_k", true), (["top_p"], "top_p", false), (["min_p"], "min_p", false),
      (["xtc_probability"], "xtc_probability", false),
      (["xtc_threshold"], "xtc_threshold", false), (["temperature"], "temp", false),
      (["penalty_last_n"], "penalty_last_n", true),
      (["penalty_repeat", "repetition_penalty"], "penalty_repeat", false),
      (["mirostat"], "mirostat", true), (["mirostat_tau"], "mirostat_tau", false),
      (["mirostat_eta"], "mirostat_eta", false),
    ]
    var entries: [(key: String, value: GGUFValue)] = []
    if let node = root.present("sequence") {
      entries.append(("general.sampling.sequence", .string(GGUFString(try node.string()))))
    }
    for field in fields {
      guard let node = field.keys.lazy.compactMap({ root.present($0) }).first else { continue }
      if field.isInteger {
        guard let value = Int32(exactly: try node.int()) else {
          throw node.error(
            "range", "the number is out of range", expected: "32 bits", found: node.shortText)
        }
        // 0 and -1 are both in use for "every token".
        guard field.name != "top_k" || value >= -1 else {
          throw node.error(
            "range", "the number of likeliest tokens to choose from is negative",
            expected: "1 or more, or 0 or -1 for every token", found: node.shortText)
        }
        entries.append(("general.sampling." + field.name, .int32(value)))
      } else {
        let value = Float(try node.double())
        guard value.isFinite else {
          throw node.error(
            "range", "the number is out of range", expected: "a 32-bit float",
            found: node.shortText)
        }
        entries.append(("general.sampling." + field.name, .float32(value)))
      }
    }
    return entries
  }

  private static func identity(
    _ card: ModelCard, _ folder: String, _ config: CheckpointConfig, _ parameterCount: Int
  ) throws(TinctureError) -> [(key: String, value: GGUFValue)] {
    func first(_ keys: String...) -> String? {
      keys.lazy.compactMap { card.text($0) }.first
    }
    var name = first("name", "model_name")
    let author = first("author", "model_author", "model_creator")
    var version = first("version", "model_version")
    var organization = first("organization", "model_organization")
    var fineTune = first("finetune", "model_finetune")
    var baseName = first("basename", "model_basename", "model_type")
    var sizeLabel = first("size_label", "model_size_label")
    var ids: [String] = []
    if let node = config.root.present("_name_or_path"), node.kind == .string {
      let id = try node.string()
      if !id.isEmpty, id.count(where: { $0 == "/" }) <= 1 { ids.append(id) }
    }
    let folderName = Folder.split(Folder.absolute(folder)).name
    ids.append(folderName)
    for id in ids where !id.isEmpty {
      let parts = ModelName(id, parameterCount: parameterCount)
      name = name ?? parts.fullName.map(ModelName.title)
      organization =
        organization ?? (id == folderName ? nil : parts.organization.map(ModelName.title))
      baseName = baseName ?? parts.baseName
      fineTune = fineTune ?? parts.fineTune
      version = version ?? parts.version
      sizeLabel = sizeLabel ?? parts.sizeLabel
    }
    if sizeLabel == nil, parameterCount > 0 {
      sizeLabel = ModelName.sizeLabel(parameterCount: parameterCount)
    }
    let fields: [(key: String, value: String?)] = [
      ("name", name), ("author", author), ("version", version), ("organization", organization),
      ("finetune", fineTune), ("basename", baseName),
      ("description", first("description", "model_description")), ("size_label", sizeLabel),
    ]
    return fields.compactMap { field in
      field.value.map { ("general." + field.key, .string(GGUFString($0))) }
    }
  }

  private static func licence(
    _ card: ModelCard
  ) throws(TinctureError) -> [(key: String, value: GGUFValue)] {
    var entries: [(key: String, value: GGUFValue)] = []
    func add(_ key: String, _ text: String?) {
      if let text { entries.append(("general." + key, .string(GGUFString(text)))) }
    }
    add("license", card.texts("license")?.joined(separator: ","))
    add("license.name", card.text("license_name"))
    add("license.link", card.text("license_link"))
    add("source.url", card.text("url") ?? card.text("model_url"))
    add("source.doi", card.text("doi") ?? card.text("model_doi"))
    add("source.uuid", card.text("uuid") ?? card.text("model_uuid"))
    add("source.repo_url", card.text("repo_url") ?? card.text("model_repo_url"))
    return entries
  }

  private static func relatives(
    _ card: ModelCard, _ parameterCount: Int
  ) -> [(key: String, value: GGUFValue)] {
    var entries: [(key: String, value: GGUFValue)] = []
    func add(_ kind: String, _ keys: [String]) {
      guard let key = keys.first(where: { card.texts($0) != nil }), let ids = card.texts(key)
      else { return }
      entries.append(("general.\(kind).count", .uint32(UInt32(ids.count))))
      for (index, id) in ids.enumerated() {
        for (field, text) in relative(id, parameterCount) {
          entries.append(("general.\(kind).\(index).\(field)", .string(GGUFString(text))))
        }
      }
    }
    add("base_model", ["base_model", "base_models", "base_model_sources"])
    add("dataset", ["datasets", "dataset", "dataset_sources"])
    return entries
  }

  /// What is known of another model or data set by its identity on Hugging Face or its address.
  private static func relative(_ id: String, _ parameterCount: Int) -> [(String, String)] {
    var known = id
    var address: String?
    if ["http://", "https://", "ssh://"].contains(where: { id.hasPrefix($0) }) {
      address = id
      guard let match = id.firstMatch(of: /^https?:\/\/huggingface.co\/([^\/]+\/[^\/]+)$/) else {
        return [("repo_url", id)]
      }
      known = String(match.1)
    }
    let parts = ModelName(known, parameterCount: parameterCount)
    var fields: [(String, String)] = []
    if let name = parts.fullName { fields.append(("name", ModelName.title(name))) }
    if let version = parts.version { fields.append(("version", version)) }
    if let organization = parts.organization {
      fields.append(("organization", ModelName.title(organization)))
      if address == nil, let name = parts.fullName {
        address = "https://huggingface.co/\(organization)/\(name)"
      }
    }
    if let address { fields.append(("repo_url", address)) }
    return fields
  }
}
