import TinctureCore

extension ExportJob {
  /// Notes about outputs of earlier runs under the same name that this one does not replace: a set with another number
  /// of parts, or the undivided file. An engine would still load them, and only the user knows whether they are wanted.
  ///
  /// - Parameters:
  ///   - path: the output's name as given.
  ///   - outputs: the files of this run.
  static func olderOutputs(_ path: String, beside outputs: [String]) -> [String] {
    let (folder, name) = Folder.split(path)
    let stem = name.hasSuffix(".gguf") ? String(name.dropLast(5)) : name
    let own = Set(outputs.map { Folder.split($0).name })
    let names: [String]
    do throws(TinctureError) {
      names = try Folder.names(folder)
    } catch {
      // What was written is whole; only what else lies there is unknown.
      return [
        "\(folder) cannot be listed: parts of an earlier run may still be there"
      ]
    }
    var sets: [(count: Substring, names: [String])] = []
    var notes: [String] = []
    for other in names where !own.contains(other) {
      if outputs.count > 1, other == name {
        notes.append(
          "\(other) of an earlier run is still there; if it is not wanted: rm \(quoted(Folder.join(folder, other)))"
        )
      } else if let count = partCount(other, stem: stem) {
        if let index = sets.firstIndex(where: { $0.count == count }) {
          sets[index].names.append(other)
        } else {
          sets.append((count, [other]))
        }
      }
    }
    for set in sets {
      let shown = set.names.prefix(3).joined(separator: ", ") + (set.names.count > 3 ? ", …" : "")
      let prefix = folder == "." ? stem : Folder.join(folder, stem)
      notes.append(
        "\(set.names.count) part\(set.names.count == 1 ? "" : "s") of an earlier run \(set.names.count == 1 ? "is" : "are") "
          + "still there, and llama.cpp would load them: \(shown); if they are not wanted: "
          + "rm \(quoted(prefix))-[0-9]*-of-\(set.count).gguf")
    }
    return notes
  }

  /// `00003` of `STEM-00001-of-00003.gguf`.
  private static func partCount(_ name: String, stem: String) -> Substring? {
    guard name.hasPrefix(stem + "-"), name.hasSuffix(".gguf") else { return nil }
    let rest = name.dropFirst(stem.count + 1).dropLast(5)
    let parts = rest.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[1] == "of", isNumber(parts[0]), isNumber(parts[2]) else {
      return nil
    }
    return parts[2]
  }

  private static func isNumber(_ text: Substring) -> Bool {
    text.utf8.count >= 5
      && text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
  }

  /// The name as a POSIX shell takes it for one word.
  private static func quoted(_ path: String) -> String {
    let isPlain = path.utf8.allSatisfy { byte in
      (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || "./_-".utf8.contains(byte)
    }
    if isPlain, !path.hasPrefix("-") { return path }
    var text = path.hasPrefix("-") ? "'./" : "'"
    for character in path {
      if character == "'" { text += "'\\''" } else { text.append(character) }
    }
    return text + "'"
  }
}
