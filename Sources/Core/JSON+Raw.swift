/// A document's bytes and nodes as plain memory, for loops over hundreds of thousands of nodes.
///
/// A ``JSON`` value shares its document, which costs two atomic operations whenever one is made; here a node is a number.
/// Valid inside ``JSON/withRaw(_:)`` only.
package struct RawJSON {
  private let bytes: UnsafeBufferPointer<UInt8>
  private let nodes: UnsafeBufferPointer<JSONNode>

  init(bytes: UnsafeBufferPointer<UInt8>, nodes: UnsafeBufferPointer<JSONNode>) {
    self.bytes = bytes
    self.nodes = nodes
  }

  /// The node after the whole subtree of `node`: its next sibling, if it has one.
  package func next(_ node: Int) -> Int { Int(nodes[node].next) }

  /// The number of elements when `node` is an array, else nil.
  package func elementCount(_ node: Int) -> Int? {
    nodes[node].kind == .array ? nodes[node].count : nil
  }

  /// The bytes of a string without escapes; nil for anything else.
  package func text(_ node: Int) -> UnsafeBufferPointer<UInt8>? {
    let node = nodes[node]
    guard node.kind == .string, !node.isEscaped else { return nil }
    return UnsafeBufferPointer(rebasing: bytes[node.range])
  }

  /// The value of a number of one to eighteen digits and nothing else; nil for anything else.
  package func natural(_ node: Int) -> Int? {
    let node = nodes[node]
    guard node.kind == .number, node.range.count <= 18 else { return nil }
    var value = 0
    for index in node.range {
      let digit = bytes[index] &- UInt8(ascii: "0")
      guard digit < 10 else { return nil }
      value = value &* 10 &+ Int(digit)
    }
    return value
  }
}

extension JSON {
  /// Gives `body` the document as plain memory and the number of this node's first child (for an object its first key,
  /// with the value after it).
  package func withRaw<R>(
    _ body: (RawJSON, _ firstChild: Int) throws(TinctureError) -> R
  ) throws(TinctureError) -> R {
    let outcome: Result<R, TinctureError> = document.bytes.withUnsafeBufferPointer { bytes in
      document.nodes.withUnsafeBufferPointer { nodes in
        Result { () throws(TinctureError) in
          try body(RawJSON(bytes: bytes, nodes: nodes), index + 1)
        }
      }
    }
    return try outcome.get()
  }

  /// The node that ``RawJSON`` numbers `number`.
  package func node(number: Int) -> JSON { JSON(document: document, index: number) }
}
