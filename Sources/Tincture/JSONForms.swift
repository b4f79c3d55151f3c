import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore

extension ExportPlan {
  /// The plan as a JSON object; described in `formats/spec/report.md`.
  ///
  /// - Parameter withTensors: whether every tensor is listed.
  package func json(withTensors: Bool) -> [(String, JSONValue)] {
    var members: [(String, JSONValue)] = [
      ("recipe", .string(recipe.name)),
      ("fileType", .uint(UInt64(recipe.fileType))),
      ("byteCount", .uint(byteCount)),
      ("weightByteCount", .uint(weightByteCount)),
      ("elementCount", .int(elementCount)),
      ("bitsPerWeight", .double(bitsPerWeight)),
      ("tensorCount", .int(entries.count)),
      ("partCount", .int(layouts.count)),
      (
        "formats",
        .object(
          formatTotals.map { total in
            (
              total.format.name,
              .object([
                ("tensorCount", .int(total.tensorCount)), ("byteCount", .uint(total.byteCount)),
              ])
            )
          })
      ),
    ]
    if withTensors { members.append(("tensors", .array(entries.map(\.json)))) }
    return members
  }

  /// The same as text, for ``package`` users and others alike: UTF-8 JSON with every tensor.
  public func json() -> [UInt8] {
    JSONValue.object(json(withTensors: true)).serialized(pretty: true)
  }

  /// How many tensors and bytes each format has, in order of first use.
  public var formatTotals: [(format: BlockFormat, tensorCount: Int, byteCount: UInt64)] {
    var totals: [(format: BlockFormat, tensorCount: Int, byteCount: UInt64)] = []
    for entry in entries {
      if let index = totals.firstIndex(where: { $0.format == entry.format }) {
        totals[index].tensorCount += 1
        totals[index].byteCount += entry.byteCount
      } else {
        totals.append((entry.format, 1, entry.byteCount))
      }
    }
    return totals
  }
}

extension ExportPlan.Entry {
  /// The tensor's line of a plan.
  fileprivate var json: JSONValue {
    .object([
      ("name", .string(name)),
      ("role", .string(role.rawValue)),
      ("layer", layer.map { .int($0) } ?? .null),
      ("shape", .array(shape.dimensions.map { .int($0) })),
      ("format", .string(format.name)),
      ("reason", .string(reason)),
      ("part", .int(part)),
      ("byteOffset", .uint(byteOffset)),
      ("byteCount", .uint(byteCount)),
      ("isCopy", .bool(isCopy)),
      ("isWeighted", .bool(isWeighted)),
    ])
  }
}

extension JobReport {
  /// The report as members of a JSON object.
  package var json: [(String, JSONValue)] {
    [
      ("source", .string(sourcePath)),
      ("architecture", .string(plan.model.architecture)),
      ("written", .bool(isWritten)),
      (
        "outputs",
        .array(
          outputs.map {
            .object([("path", .string($0.path)), ("byteCount", .uint($0.byteCount))])
          })
      ),
      ("plan", .object(plan.json(withTensors: true))),
      ("notes", .array(notes.map { .string($0) })),
      ("leftOut", .array(plan.model.leftOut.map(\.json))),
      ("threads", .int(threads)),
      ("seconds", .double(seconds)),
      ("bufferByteCount", .int(bufferByteCount)),
    ]
  }
}

extension BoundModel {
  /// Source tensors that are not written, grouped by the rule that leaves them out, in order of first use.
  public var leftOut: [LeftOut] {
    var groups: [LeftOut] = []
    for (source, outcome) in coverage {
      guard case .leftOut(let rule) = outcome else { continue }
      if let index = groups.firstIndex(where: { $0.rule == rule }) {
        groups[index].tensors.append(source)
      } else {
        groups.append(LeftOut(rule: rule, tensors: [source]))
      }
    }
    return groups
  }
}

/// Source tensors that one rule leaves out.
public struct LeftOut: Sendable, Hashable {
  /// Why, in words.
  public let rule: String
  /// Their names in the source.
  public internal(set) var tensors: [String]

  package var json: JSONValue {
    .object([
      ("rule", .string(rule)), ("tensors", .array(tensors.map { .string($0) })),
    ])
  }
}
