import Foundation
import Testing
import TinctureCore
import TinctureTestSupport

/// The rules of Sources/README.md that a program can check.
@Suite("House rules")
struct HouseTests {
  struct Row {
    var level: Int
    var folder: String
    var dependencies: Set<String>
  }

  static func table() throws -> [Row] {
    let text = String(decoding: try Repository.contents("Sources/README.md"), as: UTF8.self)
    return text.split(separator: "\n").compactMap { line in
      let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      guard cells.count == 4, let level = Int(cells[0]) else { return nil }
      let dependencies = cells[3] == "–" ? [] : cells[3].components(separatedBy: ", ")
      return Row(
        level: level, folder: cells[1].trimmingCharacters(in: ["`"]),
        dependencies: Set(dependencies))
    }
  }

  /// Folder name of a target: modules carry a prefix.
  static func folder(_ target: String) -> String {
    target == "Tincture" || !target.hasPrefix("Tincture")
      ? target : String(target.dropFirst("Tincture".count))
  }

  /// Name and dependencies of every target of the package below Sources, as SwiftPM reads the manifest.
  static func manifest() throws -> [(folder: String, dependencies: Set<String>)] {
    let scratch = try TemporaryFolder()
    let result = try Tool.run(
      ["swift", "package", "--scratch-path", scratch.path, "dump-package"], program: "/usr/bin/env",
      workingFolder: Repository.path)
    try #require(result.status == 0, "\(result.errors)")
    let root = try JSON.parse(result.outputBytes, file: "dump-package")
    var targets: [(folder: String, dependencies: Set<String>)] = []
    for target in try root.member("targets").array() {
      let path = try target.present("path")?.string() ?? ""
      guard path.hasPrefix("Sources/") else { continue }
      var names: Set<String> = []
      for dependency in try target.member("dependencies").array() {
        // {"byName": ["TinctureCore", null]}, or target or product in the place of byName.
        for (_, list) in try dependency.object() {
          names.insert(folder(try #require(Array(list.elements).first).string()))
        }
      }
      targets.append((String(path.dropFirst("Sources/".count)), names))
    }
    return targets
  }

  /// Folders, order and dependencies: the map's are the manifest's, no more and no fewer, and what a target's files
  /// import is among them.
  @Test func thePackageIsAsTheMapSays() throws {
    let rows = try Self.table()
    #expect(rows.count > 8)
    let folders = try Set(Folder.names(Repository.path("Sources"))).subtracting(["README.md"])
    #expect(Set(rows.map(\.folder)) == folders)
    let targets = try Self.manifest()
    #expect(targets.map(\.folder).sorted() == rows.map(\.folder).sorted())
    for (folder, dependencies) in targets {
      let row = try #require(rows.first { $0.folder == folder })
      #expect(row.dependencies == dependencies, "\(folder): the map says \(row.dependencies)")
    }
    for (index, row) in rows.enumerated() {
      #expect(index == 0 || rows[index - 1].level <= row.level, "\(row.folder) stands out of order")
      for dependency in row.dependencies {
        let above = rows.firstIndex { $0.folder == dependency }
        let place = try #require(above, "\(row.folder) depends on \(dependency)")
        #expect(place < index, "\(row.folder) uses \(dependency), which stands below it")
      }
      var imported: Set<String> = []
      for file in try Repository.files(in: "Sources/" + row.folder, suffix: ".swift") {
        let text = String(decoding: try Repository.contents(file), as: UTF8.self)
        for line in text.split(separator: "\n") {
          let words = line.split(separator: " ")
          guard let place = words.firstIndex(of: "import"), place <= 1, place + 1 < words.count
          else { continue }
          let module = String(words[place + 1])
          if module.hasPrefix("Tincture") || folders.contains(module) {
            imported.insert(Self.folder(module))
          }
        }
      }
      imported.remove(row.folder)
      #expect(imported.isSubset(of: row.dependencies), "\(row.folder) imports \(imported)")
    }
  }

  static let systemModules: [String: [String]] = [
    "Dispatch": [],
    "Foundation": [],
    "FoundationEssentials": [],
  ]

  @Test("files import only what their room may", arguments: systemModules.keys.sorted())
  func systemImports(module: String) throws {
    let allowed = try #require(Self.systemModules[module])
    for file in try Repository.files(in: "Sources", suffix: ".swift") {
      let text = String(decoding: try Repository.contents(file), as: UTF8.self)
      if text.split(separator: "\n").contains("import \(module)") {
        #expect(allowed.contains(file), "\(file) imports \(module)")
      }
    }
  }

  @Test(
    "no traps for other people's mistakes",
    arguments: [
      "fatalError(", "try!", "as!", "@testable", "@unchecked Sendable", "nonisolated(unsafe)",
    ])
  func forbidden(word: String) throws {
    let allowed = ["@unchecked Sendable": ["Sources/Core/Parallel.swift"]]
    for file in try Repository.files(in: "Sources", suffix: ".swift") {
      let text = String(decoding: try Repository.contents(file), as: UTF8.self)
      if text.contains(word) {
        #expect(allowed[word, default: []].contains(file), "\(file) says \(word)")
      }
    }
  }

  @Test func everyFormatsFileIsEmbedded() throws {
    let present = try Repository.files(in: "formats", suffix: ".json5")
    #expect(!present.isEmpty)
    for file in present {
      let name = String(file.dropFirst("formats/".count))
      let folder = name.contains("/") ? String(name.prefix(while: { $0 != "/" })) : nil
      guard let folder else { continue }
      let bundled = try BundledFile.all(in: folder).first { $0.name == name }
      #expect(
        bundled.map { Data($0.bytes) } == (try Repository.contents(file)),
        "\(file): run tools/embed.sh")
    }
  }

  @Test func publicDeclarationsAreAsRecorded() throws {
    var lines: [String] = []
    for file in try Repository.files(in: "Sources", suffix: ".swift") {
      let text = String(decoding: try Repository.contents(file), as: UTF8.self)
      for line in text.split(separator: "\n") {
        let words = line.trimmingCharacters(in: .whitespaces)
        if words.hasPrefix("public ") || words.contains(" public ") && !words.hasPrefix("//") {
          lines.append("\(file): \(words)")
        }
      }
    }
    let found = lines.joined(separator: "\n") + "\n"
    if ProcessInfo.processInfo.environment["TINCTURE_RECORD"] == "1" {
      try Data(found.utf8).write(to: URL(fileURLWithPath: Repository.path("golden/public-api.txt")))
    }
    let recorded = String(decoding: try Repository.contents("golden/public-api.txt"), as: UTF8.self)
    #expect(
      found == recorded,
      "a public declaration changed: review it, then run the tests with TINCTURE_RECORD=1")
  }
}
