import TinctureCatalog
import TinctureContainers
import TinctureCore

extension ParityModel {
  /// What two models' files say of sampling (`general.sampling.*`, which llama.cpp's programs take for their defaults) and
  /// differs; nil when nothing does.
  ///
  /// It changes what is drawn from the model, not what the model says: it is told and decides nothing. Of a checkpoint it is
  /// what `convert` would write.
  func samplingNote(against reference: ParityModel) -> String? {
    let (own, theirs) = (sampling, reference.sampling)
    let names = (theirs + own).map(\.name)
    var words: [String] = []
    for (index, name) in names.enumerated() where !names[..<index].contains(name) {
      let pair = [own, theirs].map { list in list.first { $0.name == name }?.value }
      guard pair[0] != pair[1] else { continue }
      let told = pair.map { $0.map { $0.count > 80 ? "\($0.prefix(80))…" : $0 } ?? "absent" }
      words.append("\(name) \(told[0]), in the reference \(told[1])")
    }
    guard !words.isEmpty else { return nil }
    return "defaults of sampling, which llama.cpp's programs take from the file, differ: "
      + words.joined(separator: "; ")
  }

  private var sampling: [(name: String, value: String)] {
    bound.metadata.filter { $0.key.hasPrefix("general.sampling.") }.map { entry in
      guard case .string(let text) = entry.value else {
        // Without the word for its type, which changes nothing.
        let words = entry.value.summary
        return (entry.key, String(words.drop { $0 != " " }.dropFirst()))
      }
      // Escaped, so that a file cannot move the terminal's cursor.
      let bytes = JSONValue.string(text.text).serialized(pretty: false)
      return (entry.key, String(decoding: bytes, as: UTF8.self))
    }
  }
}
