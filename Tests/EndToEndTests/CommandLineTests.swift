import Foundation
import Testing
import TinctureCore
import TinctureTestSupport

/// Words in, texts and exit statuses out.
@Suite struct CommandLineTests {
  struct Case: Sendable, CustomStringConvertible {
    let words: [String]
    let status: Int32
    let code: String
    var advice: String?
    var description: String { words.joined(separator: " ") }
  }

  static let errors: [Case] = [
    Case(words: [], status: 2, code: "argument.missing"),
    Case(
      words: ["quantise"], status: 2, code: "argument.unknownCommand",
      advice: "did you mean 'quantize'?"),
    Case(words: ["frobnicate"], status: 2, code: "argument.unknownCommand"),
    Case(words: ["quantize"], status: 2, code: "argument.missing"),
    Case(
      words: ["quantize", "x", "-o", "y", "--recipe", "q8_0", "--split-size", "-5"], status: 2,
      code: "argument.size"),
    Case(words: ["quantize", "x", "--recipe"], status: 2, code: "argument.missingValue"),
    Case(
      words: ["quantize", "x", "--recipe", "--force"], status: 2, code: "argument.missingValue"),
    Case(
      words: ["quantize", "x", "--recpie", "q8_0"], status: 2, code: "argument.unknownOption",
      advice: "did you mean --recipe?"),
    Case(words: ["quantize", "x", "-z"], status: 2, code: "argument.unknownOption"),
    Case(words: ["quantize", "x", "y"], status: 2, code: "argument.unexpected"),
    Case(words: ["quantize", "x", "--force=1"], status: 2, code: "argument.flagValue"),
    Case(
      words: ["quantize", "x", "-o", "a", "--output=b"], status: 2, code: "argument.repeated"),
    Case(words: ["quantize", "x", "--recipe", "q8_0"], status: 2, code: "argument.missing"),
    Case(words: ["quantize", "x", "-o", "y"], status: 2, code: "argument.missing"),
    Case(words: ["quantize", "x", "-o", "y", "--recipe", "q9"], status: 2, code: "recipe.unknown"),
    Case(
      words: ["quantize", "x", "-o", "-", "--recipe", "q8_0"], status: 2, code: "argument.output",
      advice: "name a file; one that is called - is ./-"),
    Case(words: ["convert", "x", "--output=-"], status: 2, code: "argument.output"),
    Case(words: ["record", "x", "-o", "-", "--prompts", "y"], status: 2, code: "argument.output"),
    Case(
      words: ["verify", "x", "--against", "y", "--report", "-"], status: 2, code: "argument.output"),
    Case(words: ["inspect", "x", "--threads", "0"], status: 2, code: "argument.count"),
    Case(words: ["inspect", "x", "--threads", "two"], status: 2, code: "argument.count"),
    Case(
      words: ["record", "x", "--prompts", "y", "-o", "z", "--top", "0"], status: 2,
      code: "argument.count", advice: "give --top a number in digits, such as 16"),
    Case(words: ["inspect", "x", "--memory", "lots"], status: 2, code: "argument.size"),
    Case(words: ["inspect", "x", "--memory", "1.G"], status: 2, code: "argument.size"),
    Case(words: ["inspect", "x", "--memory", "0"], status: 2, code: "argument.size"),
    Case(words: ["inspect", "/nowhere/at/all"], status: 3, code: "file.read"),
    Case(words: ["inspect", "--", "--threads"], status: 3, code: "file.read"),
    Case(words: ["inspect", "/dev/null"], status: 3, code: "file.notRegular"),
    Case(words: ["convert", "x", "-o", "y", "--type", "bf61"], status: 2, code: "argument.choice"),
    Case(
      words: ["quantize", "x", "-o", "y", "--recipe", "q8_0", "--output-type", "q7"], status: 2,
      code: "override.format"),
    Case(
      words: ["quantize", "x", "-o", "y", "--recipe", "q8_0", "--tensor-type", "attn"], status: 2,
      code: "override.syntax"),
    Case(words: ["completions", "tcsh"], status: 2, code: "argument.choice"),
    Case(
      words: [
        "quantize", "x", "-o", "y", "--recipe", "q8_0", "--metadata", "a=1", "--metadata", "a:u8=2",
      ], status: 2, code: "metadata.repeated"),
    Case(words: ["help", "quantise"], status: 2, code: "argument.unknownCommand"),
  ]

  /// A value of any length is shown by its beginning.
  @Test(arguments: [
    ["convert", "x", "-o", "y", "--metadata", "LONG"],
    ["convert", "x", "-o", "y", "--metadata", "LONG=1"], ["convert", "x", "--LONG"], ["LONG"],
    ["convert", "x", "LONG"], ["quantize", "x", "-o", "y", "--recipe", "LONG"],
  ]) func longValuesAreCut(_ words: [String]) throws {
    let long = String(repeating: "k", count: 70_000)
    let words = words.map { $0.replacingOccurrences(of: "LONG", with: long) }
    for form in [[], ["--json"]] {
      let result = try Tool.run(words + form)
      let text = result.output + result.errors
      #expect(result.status == 2 && text.contains("kkk…"), "\(text.prefix(3000))")
      #expect(text.count < 3000, "\(text.prefix(3000))")
    }
  }

  /// Whoever writes --json anywhere gets an object.
  @Test(arguments: [
    (["inspect", "x", "--json=true"], "argument.flagValue"),
    (["inspect", "x", "--", "--json"], "argument.unexpected"),
    (["--json"], "argument.unknownCommand"),
  ])
  func wrongWordsStillGetJSON(words: [String], code: String) throws {
    let result = try Tool.run(words)
    #expect(result.status == 2)
    #expect(try object(result).member("error").member("code").string() == code)
  }

  /// With closed streams a run does its work, and no text lands in a file that got the stream's number.
  @Test(arguments: [">&-", "2>&-", "<&- >&- 2>&-"]) func closedStreams(_ closing: String) throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let output = folder.path("out.gguf")
    let whole = folder.path("whole.gguf")
    let words = ["quantize", source, "--recipe", "q8_0", "-o"]
    #expect(try Tool.run(words + [whole]).status == 0)
    let result = try Tool.run(
      ["-c", "exec \"$0\" \"$@\" \(closing)", Tool.path] + words + [output],
      program: "/bin/bash")
    #expect(result.status == 0, "\(result.errors)")
    #expect(try bytes(output) == (try bytes(whole)))
    // An error keeps its status, and the old output its bytes.
    let refused = try Tool.run(
      ["-c", "exec \"$0\" \"$@\" \(closing)", Tool.path] + words + [output],
      program: "/bin/bash")
    #expect(refused.status == 5)
    #expect(try bytes(output) == (try bytes(whole)))
  }

  @Test(arguments: errors) func errorsAsTextAndJSON(each: Case) throws {
    let plain = try Tool.run(each.words)
    #expect(plain.status == each.status, "\(plain.errors)")
    #expect(plain.output.isEmpty)
    #expect(plain.errors.hasPrefix("tincture: error: "))
    #expect(plain.errors.contains("\(each.code) (exit status \(each.status))"), "\(plain.errors)")
    if let advice = each.advice { #expect(plain.errors.contains(advice), "\(plain.errors)") }
    // `--json` must stand before a `--`; a command without that option has no JSON errors either.
    var words = each.words
    words.insert("--json", at: min(1, words.count))
    guard ["inspect", "convert", "quantize"].contains(words.first) else { return }
    let json = try Tool.run(words)
    #expect(json.errors.isEmpty)
    let error = try object(json).member("error")
    #expect(try object(json).member("status").string() == "error")
    #expect(try object(json).member("schemaVersion").int() == 1)
    #expect(try error.member("code").string() == each.code)
    #expect(try error.member("exitStatus").int() == Int(each.status))
    #expect(json.status == each.status)
  }

  /// Help and completions as people see them; `tools/golden/help.sh` writes the files anew.
  @Test(arguments: [
    "help", "help inspect", "help convert", "help quantize", "help completions", "help help",
    "help version", "version", "completions bash", "completions zsh", "completions fish",
  ])
  func snapshots(words: String) throws {
    let result = try Tool.run(words.split(separator: " ").map(String.init))
    #expect(result.status == 0, "\(result.errors)")
    let name = "golden/help/" + words.replacingOccurrences(of: " ", with: "-") + ".txt"
    #expect(result.output == String(decoding: try Repository.contents(name), as: UTF8.self))
    for line in result.output.split(separator: "\n") where !words.hasPrefix("completions") {
      #expect(line.count <= 110, "\(line)")
    }
  }

  /// Whoever asks for nothing is told what there is, as an error.
  @Test func noWordsAtAll() throws {
    let result = try Tool.run([])
    #expect(result.status == 2 && result.output.isEmpty)
    #expect(result.errors.contains("Usage: tincture COMMAND"))
    #expect(result.errors.hasSuffix(try Tool.run(["help"]).output))
  }

  @Test func completionsOfAnotherShell() throws {
    let result = try Tool.run(["completions", "tcsh"])
    #expect(result.errors.contains("no completion script for this shell"))
    #expect(result.errors.contains("bash, zsh or fish") && !result.errors.contains("--SHELL"))
  }

  @Test func helpSpellings() throws {
    for (words, same) in [
      (["--help"], ["help"]), (["-h"], ["help"]), (["convert", "--help"], ["help", "convert"]),
      (["convert", "x", "-h"], ["help", "convert"]), (["--version"], ["version"]),
    ] {
      let result = try Tool.run(words)
      #expect(result.status == 0)
      #expect(result.output == (try Tool.run(same).output), "\(words)")
    }
  }

  /// bash itself completes with the script.
  @Test(arguments: [
    (["tincture", "qu"], "quantize"), (["tincture", "quantize", "--rec"], "--recipe"),
    (["tincture", "quantize", "x", "--recipe", "q4_k"], "q4_k_m q4_k_s"),
    (["tincture", "convert", "--type", "b"], "bf16"), (["tincture", "completions", "f"], "fish"),
    (["tincture", "quantize", "--threads", ""], ""),
  ])
  func bashCompletes(words: [String], expected: String) throws {
    let folder = try TemporaryFolder()
    let script = folder.path("completion.bash")
    try Data(try Tool.run(["completions", "bash"]).outputBytes).write(
      to: URL(fileURLWithPath: script))
    let quoted = words.map { "'\($0)'" }.joined(separator: " ")
    let result = try Tool.run(
      [
        "-c",
        """
        source "\(script)"; COMP_WORDS=(\(quoted)); COMP_CWORD=\(words.count - 1)
        _tincture; printf '%s' "${COMPREPLY[*]}"
        """,
      ], program: "/bin/bash")
    #expect(result.output == expected, "\(result.errors)")
  }

  @Test func quietSaysNothing() throws {
    let folder = try TemporaryFolder()
    let result = try Tool.run([
      "quantize", try fixture().source, "-o", folder.path("out.gguf"), "--recipe", "q8_0", "-q",
    ])
    #expect(result.status == 0 && result.output.isEmpty && result.errors.isEmpty)
  }

  /// No progress line when standard error is a file; no noise beside the summary.
  @Test func noProgressInFiles() throws {
    let folder = try TemporaryFolder()
    let result = try Tool.run([
      "quantize", try fixture().source, "-o", folder.path("out.gguf"), "--recipe", "q4_k_m",
    ])
    #expect(result.status == 0 && result.errors.isEmpty)
    #expect(result.output.hasPrefix("wrote "))
  }

  /// A reader that goes away is no failure: the work is done and the status says so.
  @Test func closedPipe() throws {
    let folder = try TemporaryFolder()
    let output = folder.path("out.gguf")
    let result = try Tool.run(
      [
        "-c",
        """
        { sleep 0.3; "$0" quantize "$1" -o "$2" --recipe q8_0 --json; echo "status $?" >&2; } | true
        """, Tool.path, try fixture().source, output,
      ], program: "/bin/bash")
    #expect(result.errors == "status 0\n")
    #expect(FileManager.default.fileExists(atPath: output))
  }

  @Test func fullStandardOutputIsAnError() throws {
    let result = try Tool.run(
      ["-c", "\"$0\" help > /dev/full", Tool.path], program: "/bin/bash")
    #expect(result.status == 5 && result.errors.contains("console.write"), "\(result.errors)")
  }

  @Test func argumentThatIsNotUTF8() throws {
    let result = try Tool.run(
      ["-c", "\"$0\" inspect $'bad\\xff'", Tool.path], program: "/bin/bash")
    #expect(result.status == 2 && result.errors.contains("argument.encoding"), "\(result.errors)")
  }

  /// A file can be renamed, a text must be written anew.
  @Test(
    arguments: [
      ("inspect $'bad\\xff'", true), ("inspect --tensors -- $'bad\\xff'", true),
      ("convert model -o $'bad\\xff'", true), ("convert model --output=$'bad\\xff'", true),
      ("tokenize model --decode --file $'bad\\xff'", true), ("tokenize $'bad\\xff' text", true),
      ("tokenize model $'bad\\xff'", false), ("run model -p $'bad\\xff'", false),
      ("run model --prompt=$'bad\\xff'", false), ("run model --unknown $'bad\\xff'", false),
      ("$'bad\\xff'", false),
    ])
  func adviceOnAnArgumentThatIsNotUTF8(words: String, isPath: Bool) throws {
    let result = try Tool.run(["-c", "\"$0\" \(words)", Tool.path], program: "/bin/bash")
    #expect(result.status == 2 && result.errors.contains("bad\u{FFFD}'"), "\(result.errors)")
    #expect(result.errors.contains("rename the file") == isPath, "\(result.errors)")
    #expect(result.errors.contains("write it in UTF-8") != isPath, "\(result.errors)")
  }
}
