// The README's example: plan a checkpoint, look at the plan, write it, read the result back.

import Tincture

let arguments = CommandLine.arguments
guard arguments.count == 3 else {
  print("usage: tincture-example CHECKPOINT OUT.gguf")
  throw TinctureError(.init("example.usage", .usage), "two arguments are needed")
}

// Headers, configuration and tokenizer; no weight is read here.
let checkpoint = try Checkpoint.open(arguments[1])
let model = try checkpoint.bind()

// Every tensor's type, place and reason, before anything is written.
let plan = try ExportPlan(model, recipe: try Recipe.named("q4_k_m"))
print("\(model.architecture): \(plan.entries.count) tensors, \(plan.byteCount) bytes")
if let largest = plan.entries.max(by: { $0.byteCount < $1.byteCount }) {
  print("largest: \(largest.name), \(largest.format.name), because: \(largest.reason)")
}

let job = ExportJob(plan, of: checkpoint, to: arguments[2], replacing: true)
let report = try job.run(Resources(threads: 2, memory: MemoryBudget(limit: 256 << 20)))

// The same reader takes the result.
let file = try GGUFFile.open(report.outputs[0].path)
let first = file.tensors[0]
print("written: \(file.tensors.count) tensors; first: \(first.name), \(first.type)")
