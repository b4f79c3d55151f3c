import TinctureCore
import TinctureText

// Renders chat templates for tools/check/chat.py: a line of JSON in, a line of JSON out.
//
//   in   {"template": …, "messages": […], "add_generation_prompt": true, "variables": {…}}
//   out  {"text": …} or {"error": code, "message": …}

func variable(_ node: JSON) throws(TinctureError) -> ChatTemplate.Variable {
  switch node.kind {
  case .null: .none
  case .bool: .bool(try node.bool())
  case .number: .int(try node.int())
  default: .string(try node.string())
  }
}

func answer(_ line: String) -> JSONValue {
  do throws(TinctureError) {
    let root = try JSON.parse(Array(line.utf8), file: "input")
    var variables: [String: ChatTemplate.Variable] = [:]
    for (key, value) in try root.member("variables").object() {
      variables[try key.string()] = try variable(value)
    }
    let template = try ChatTemplate(
      source: root.member("template").stringBytes(), name: "template")
    let text = try template.render(
      messages: ChatMessage.conversation(root.member("messages")),
      addGenerationPrompt: root.member("add_generation_prompt").bool(), bosToken: "<bos>",
      eosToken: "<eos>", variables: variables,
      now: CalendarTime(year: 2024, month: 7, day: 6, hour: 15, minute: 4, second: 5))
    return .object([("text", .string(text))])
  } catch {
    return .object([("error", .string(error.code.name)), ("message", .string("\(error)"))])
  }
}

while let line = readLine() {
  print(String(decoding: answer(line).serialized(pretty: false), as: UTF8.self))
}
