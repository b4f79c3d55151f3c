import Tincture

/// The wording of reports.
enum ReportText {
  /// What `convert` and `quantize` say at the end.
  static func export(_ report: JobReport, seconds: Double) -> String {
    let plan = report.plan
    var lines: [String] = []
    for output in report.outputs {
      lines.append(
        "\(report.isWritten ? "wrote" : "would write") \(output.path)  \(Text.bytes(output.byteCount))"
      )
    }
    lines.append(
      "  \(plan.model.architecture), \(plan.recipe.name): \(plan.entries.count) tensors, "
        + "\(Text.grouped(plan.elementCount)) weights, \(Text.fixed(plan.bitsPerWeight, 2)) bits each"
    )
    let formats = plan.formatTotals.map {
      "\($0.tensorCount) \($0.format.name) (\(Text.bytes($0.byteCount)))"
    }
    lines.append("  " + formats.joined(separator: ", "))
    if report.isWritten {
      let rate = seconds > 0 ? Double(plan.byteCount) / seconds : 0
      lines.append(
        "  \(Text.fixed(seconds, 2)) s, \(Text.bytes(rate))/s, "
          + "\(report.threads) thread\(report.threads == 1 ? "" : "s")")
    } else {
      lines.append("  dry run: nothing was written")
    }
    lines += remarks(report.notes, plan.model.leftOut)
    return lines.joined(separator: "\n") + "\n"
  }

  /// What `inspect` says.
  static func inspection(_ inspection: Inspection, withTensors: Bool, threads: Int) -> String {
    let model = inspection.model
    let source = inspection.checkpoint.source
    let fileBytes = source.files.reduce(0) { $0 + $1.byteCount }
    let files = source.files.count == 1 ? "1 file" : "\(source.files.count) files"
    var rows = [
      ["source", inspection.checkpoint.path],
      ["container", "\(inspection.checkpoint.containerName), \(files), \(Text.bytes(fileBytes))"],
      ["architecture", model.architecture],
      [
        "layers",
        "\(model.layerCount), \(model.headCount) heads, \(model.keyValueHeadCount) key-value heads",
      ],
      ["weights", Text.grouped(inspection.elementCount)],
      [
        "stored",
        inspection.storedTotals.map {
          "\($0.tensorCount) \($0.type) (\(Text.bytes($0.byteCount)))"
        }.joined(separator: ", "),
      ],
    ]
    for (key, label) in [
      ("general.name", "name"), ("general.license", "license"),
      ("tokenizer.ggml.model", "tokenizer"), ("tokenizer.ggml.pre", "pre-tokenizer"),
    ] {
      if case .string(let text) = model.metadata.first(where: { $0.key == key })?.value {
        rows.append([label, text.text])
      }
    }
    var blocks = [Text.table(rows)]
    let remarks = remarks(inspection.plan?.notes ?? model.notes, model.leftOut)
    if !remarks.isEmpty { blocks.append(remarks.joined(separator: "\n")) }
    if withTensors { blocks.append(tensors(source.tensors)) }
    if let plan = inspection.plan { blocks.append(planText(plan, threads: threads)) }
    return blocks.joined(separator: "\n\n") + "\n"
  }

  private static func tensors(_ tensors: [TensorInfo]) -> String {
    let rows = tensors.map {
      [
        $0.name, $0.type.description, $0.shape.description,
        Text.grouped(Int(clamping: $0.byteCount)),
      ]
    }
    return "tensors\n"
      + Text.table(
        [["name", "type", "shape", "bytes"]] + rows, rightAligned: [3], indent: 2)
  }

  private static func planText(_ plan: ExportPlan, threads: Int) -> String {
    let rows = plan.entries.map {
      [
        $0.name, $0.format.name, $0.shape.description, Text.grouped(Int(clamping: $0.byteCount)),
        $0.reason + ($0.isCopy ? "; copied" : ""),
      ]
    }
    let formats = plan.formatTotals.map {
      "\($0.tensorCount) \($0.format.name) (\(Text.bytes($0.byteCount)))"
    }
    return "plan \(plan.recipe.name)\n"
      + Text.table(
        [["tensor", "type", "shape", "bytes", "reason"]] + rows, rightAligned: [3], indent: 2)
      + "\n  " + formats.joined(separator: ", ") + "\n"
      + "  file \(Text.bytes(plan.byteCount)) (\(Text.grouped(Int(clamping: plan.byteCount))) bytes), "
      + "\(Text.fixed(plan.bitsPerWeight, 2)) bits per weight, buffers "
      + "\(Text.bytes(UInt64(plan.memoryByteCount(threads: threads)))) with \(threads) threads"
  }

  private static func remarks(_ notes: [String], _ leftOut: [LeftOut]) -> [String] {
    var lines = notes.map { "  note: \($0)" }
    for group in leftOut {
      let shown = group.tensors.prefix(2).joined(separator: ", ")
      let rest = group.tensors.count > 2 ? " and \(group.tensors.count - 2) more" : ""
      lines.append("  left out: \(shown)\(rest): \(group.rule)")
    }
    return lines
  }
}
