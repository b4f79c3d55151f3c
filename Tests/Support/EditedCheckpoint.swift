import Foundation
import TinctureContainers
import TinctureCore

/// A copy of a tiny checkpoint in a folder of its own, to be changed and written out again.
public struct EditedCheckpoint {
  public struct Tensor {
    public var name: String
    /// As safetensors spells it: `BF16`.
    public var type: String
    public var shape: [Int]
    public var bytes: [UInt8]

    public init(name: String, type: String, shape: [Int], bytes: [UInt8]) {
      self.name = name
      self.type = type
      self.shape = shape
      self.bytes = bytes
    }
  }

  public let folder: TemporaryFolder
  public var tensors: [Tensor]

  public var path: String { folder.path }

  /// Copies the model's files; the weights are written by ``write(_:)``.
  public init(_ model: String, of group: String = "golden/models") throws {
    folder = try TemporaryFolder()
    let source = Repository.path("\(group)/\(model)")
    let checkpoint = try SafetensorsCheckpoint.open(source)
    let weights = Set(checkpoint.files.map { Folder.split($0.path).name })
    for name in try FileManager.default.contentsOfDirectory(atPath: source)
    where !weights.contains(name) && !name.hasSuffix(".index.json") {
      try FileManager.default.copyItem(atPath: source + "/" + name, toPath: folder.path(name))
    }
    tensors = []
    for info in checkpoint.tensors {
      tensors.append(
        Tensor(
          name: info.name, type: info.type.description, shape: info.shape.dimensions,
          bytes: try checkpoint.files[info.fileIndex].bytes(
            at: info.byteOffset, count: Int(info.byteCount))))
    }
  }

  public func index(_ suffix: String) -> Int? {
    tensors.firstIndex { $0.name.hasSuffix(suffix) }
  }

  /// Writes the tensors as one safetensors file, in their order.
  public func write(_ name: String = "model.safetensors") throws {
    try Self.safetensors(tensors).write(to: URL(fileURLWithPath: folder.path(name)))
  }

  public static func safetensors(_ tensors: [Tensor]) -> Data {
    var data: [UInt8] = []
    var entries: [String] = []
    for tensor in tensors {
      let shape = tensor.shape.map(String.init).joined(separator: ",")
      entries.append(
        "\"\(tensor.name)\":{\"dtype\":\"\(tensor.type)\",\"shape\":[\(shape)],"
          + "\"data_offsets\":[\(data.count),\(data.count + tensor.bytes.count)]}")
      data += tensor.bytes
    }
    var header = Array("{\(entries.joined(separator: ","))}".utf8)
    while header.count % 8 != 0 { header.append(0x20) }
    let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) }
    return Data(length + header + data)
  }

  /// Sets members of a JSON file's root object, or of the object `inside` it; nil removes one. Values are JSON
  /// text and stay as they are written.
  public func set(
    _ changes: [String: String?], inside: String? = nil, file: String = "config.json"
  ) throws {
    let url = URL(fileURLWithPath: folder.path(file))
    let found = try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any]
    guard var root = found else { throw CocoaError(.propertyListReadCorrupt) }
    var text: String
    if let inside {
      guard var object = root[inside] as? [String: Any] else {
        throw CocoaError(.coderInvalidValue)
      }
      for key in changes.keys { object[key] = nil }
      root[inside] = nil
      text = try Self.joined(root, [inside: try Self.joined(object, changes)])
    } else {
      for key in changes.keys { root[key] = nil }
      text = try Self.joined(root, changes)
    }
    text.append("\n")
    try Data(text.utf8).write(to: url)
  }

  private static func joined(_ object: [String: Any], _ raw: [String: String?]) throws -> String {
    let kept = try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys])
    var members = raw.sorted { $0.key < $1.key }.compactMap { key, value in
      value.map { "\"\(key)\":\($0)" }
    }
    let inner = String(decoding: kept.dropFirst().dropLast(), as: UTF8.self)
    if !inner.isEmpty { members.append(inner) }
    return "{" + members.joined(separator: ",") + "}"
  }

  /// Writes a text file.
  public func write(_ text: String, to name: String) throws {
    let path = folder.path(name)
    try FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  }

  public func remove(_ name: String) throws {
    try FileManager.default.removeItem(atPath: folder.path(name))
  }
}
