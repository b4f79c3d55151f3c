// Makes every file operation of an export fail, one after the other, and checks after each failure that nothing
// stands under the final name that was not there before, that an older output is untouched, and that no
// partial file is left. A process of its own: the faults are process-wide.
//
// Prints one line an operation and exits 1 at the first violation.

import Foundation
import Tincture
import TinctureCore
import TinctureTestSupport

struct Violation: Error, CustomStringConvertible {
  let description: String
}

/// One way to run the job.
struct Scenario {
  let name: String
  let replaces: Bool
  let splitByteCount: UInt64?
}

let folder = try TemporaryFolder()
let source = folder.path("source.gguf")
try SyntheticModel.tiny.write(to: source)
let output = folder.path("out.gguf")

/// Everything in the folder but the source.
func contents() throws -> [String: Data] {
  var files: [String: Data] = [:]
  for name in try FileManager.default.contentsOfDirectory(atPath: folder.path)
  where name != "source.gguf" {
    files[name] = try Data(contentsOf: URL(fileURLWithPath: folder.path(name)))
  }
  return files
}

func run(_ scenario: Scenario) throws(TinctureError) {
  let checkpoint = try Checkpoint.open(source)
  let plan = try ExportPlan(
    try checkpoint.bind(), recipe: try Recipe.named("q8_0"),
    options: ExportOptions(splitByteCount: scenario.splitByteCount))
  let job = ExportJob(plan, of: checkpoint, to: output, replacing: scenario.replaces)
  _ = try job.run(Resources(threads: 1))
}

/// What must stand in the folder before and after a failed run.
func prepare(_ scenario: Scenario) throws -> [String: Data] {
  for name in try contents().keys {
    try FileManager.default.removeItem(atPath: folder.path(name))
  }
  guard scenario.replaces else { return [:] }
  try run(Scenario(name: "", replaces: true, splitByteCount: scenario.splitByteCount))
  // Older outputs of the same names, told apart by their content.
  for name in try contents().keys {
    try Data(("old " + name).utf8).write(to: URL(fileURLWithPath: folder.path(name)))
  }
  return try contents()
}

func walk(_ scenario: Scenario, _ operation: FileFaults.Operation) throws {
  var index = 0
  while true {
    let before = try prepare(scenario)
    FileFaults.arm(operation, index: index, errorNumber: operation == .read ? EIO : ENOSPC)
    var failure: TinctureError?
    do throws(TinctureError) { try run(scenario) } catch { failure = error }
    let seen = FileFaults.disarm()
    if seen <= index {
      if let failure {
        throw Violation(description: "\(scenario.name): fails without a fault: \(failure)")
      }
      break
    }
    let place = "\(scenario.name), \(operation) number \(index)"
    guard let failure else { throw Violation(description: "\(place): no error") }
    guard failure.code.kind == .invalidInput || failure.code.kind == .cannotWrite,
      failure.place.file != nil
    else { throw Violation(description: "\(place): \(failure)") }
    guard try contents() == before else {
      throw Violation(
        description: "\(place): the folder changed: \(try contents().keys.sorted())")
    }
    index += 1
  }
  guard index > 0 else { throw Violation(description: "\(operation) never happens") }
  print("\(scenario.name) \(operation) \(index)")
}

do {
  for scenario in [
    Scenario(name: "new", replaces: false, splitByteCount: nil),
    Scenario(name: "replacing", replaces: true, splitByteCount: nil),
    Scenario(name: "new-split", replaces: false, splitByteCount: 200_000),
    Scenario(name: "replacing-split", replaces: true, splitByteCount: 200_000),
  ] {
    for operation in FileFaults.Operation.allCases { try walk(scenario, operation) }
  }
} catch {
  print("violation: \(error)")
  exit(1)
}
