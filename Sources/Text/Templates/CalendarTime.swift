import TinctureCore

/// A date and time of day, for templates that write the present date into the prompt.
///
/// Rendering never reads the clock itself: with the same date the same conversation gives the same text.
public struct CalendarTime: Sendable, Hashable {
  /// Year of the Gregorian calendar, 1 to 9999.
  public let year: Int
  /// 1 to 12.
  public let month: Int
  /// 1 to 31.
  public let day: Int
  public let hour: Int
  public let minute: Int
  public let second: Int

  /// - Returns: nil when there is no such date or time.
  public init?(year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0) {
    guard (1...9999).contains(year), (1...12).contains(month),
      (1...CalendarTime.days(in: month, of: year)).contains(day), (0...23).contains(hour),
      (0...59).contains(minute), (0...59).contains(second)
    else { return nil }
    self.year = year
    self.month = month
    self.day = day
    self.hour = hour
    self.minute = minute
    self.second = second
  }

  /// The date and time where the program runs; nil when the system does not know them.
  public static func present() -> CalendarTime? {
    LocalClock.now().flatMap {
      CalendarTime(
        year: $0.year, month: $0.month, day: $0.day, hour: $0.hour, minute: $0.minute,
        second: $0.second)
    }
  }

  private static func isLeap(_ year: Int) -> Bool {
    year.isMultiple(of: 4) && (!year.isMultiple(of: 100) || year.isMultiple(of: 400))
  }

  private static func days(in month: Int, of year: Int) -> Int {
    month == 2 ? (isLeap(year) ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
  }

  /// Days from the year's first, counted from 1.
  private var dayOfYear: Int {
    (1..<month).reduce(day) { $0 + CalendarTime.days(in: $1, of: year) }
  }

  /// Monday is 0.
  private var weekday: Int {
    let before = year - 1
    return (before * 365 + before / 4 - before / 100 + before / 400 + dayOfYear - 1) % 7
  }

  private static let months = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
  ]
  private static let weekdays = [
    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
  ]

  /// The date as C's `strftime` writes it in English.
  ///
  /// - Throws: `chat.template.unsupported` for directives beyond the common ones.
  func text(_ format: TemplateText, _ line: Int) throws(TinctureError) -> TemplateText {
    func padded(_ number: Int, _ width: Int, _ fill: String = "0") -> String {
      let digits = String(number)
      return String(repeating: fill, count: max(0, width - digits.utf8.count)) + digits
    }
    var result = ""
    var index = 0
    while index < format.count {
      let scalar = format[index]
      index += 1
      guard scalar == "%" else {
        result.unicodeScalars.append(scalar)
        continue
      }
      let letter = index < format.count ? format[index] : "%"
      let isBare = letter == "-" && index + 1 < format.count
      let directive = isBare ? "-" + String(format[index + 1]) : String(letter)
      if index == format.count {
        throw TemplateFault.unsupported.at(line, "a date format that ends with '%'")
      }
      index += isBare ? 2 : 1
      switch directive {
      case "Y": result += String(year)
      case "y": result += padded(year % 100, 2)
      case "m": result += padded(month, 2)
      case "-m": result += String(month)
      case "d": result += padded(day, 2)
      case "-d": result += String(day)
      case "e": result += padded(day, 2, " ")
      case "j": result += padded(dayOfYear, 3)
      case "H": result += padded(hour, 2)
      case "-H": result += String(hour)
      case "I": result += padded((hour + 11) % 12 + 1, 2)
      case "-I": result += String((hour + 11) % 12 + 1)
      case "M": result += padded(minute, 2)
      case "S": result += padded(second, 2)
      case "p": result += hour < 12 ? "AM" : "PM"
      case "B": result += CalendarTime.months[month - 1]
      case "b": result += String(CalendarTime.months[month - 1].prefix(3))
      case "A": result += CalendarTime.weekdays[weekday]
      case "a": result += String(CalendarTime.weekdays[weekday].prefix(3))
      case "F": result += "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))"
      case "T": result += "\(padded(hour, 2)):\(padded(minute, 2)):\(padded(second, 2))"
      case "%": result += "%"
      default:
        throw TemplateFault.unsupported.at(
          line, "a part of a date format is not supported", found: "%\(directive)")
      }
    }
    return TemplateText(result)
  }
}
