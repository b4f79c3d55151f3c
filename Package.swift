// swift-tools-version: 6.1
import PackageDescription

// Short folders, prefixed modules: the prefix keeps them from colliding in someone else's package graph.
// Dependencies go only downwards; Sources/README.md holds the same table in words and a test compares them.
func room(_ folder: String, _ dependencies: [String]) -> Target {
  .target(
    name: "Tincture" + folder,
    dependencies: dependencies.map { Target.Dependency(stringLiteral: $0) },
    path: "Sources/" + folder)
}

func tests(_ folder: String, _ dependencies: [String]) -> Target {
  .testTarget(
    name: folder,
    dependencies: (["TinctureTestSupport"] + dependencies).map {
      Target.Dependency(stringLiteral: $0)
    },
    path: "Tests/" + folder)
}

let package = Package(
  name: "tincture",
  products: [
    .library(name: "Tincture", targets: ["Tincture"]),
    .executable(name: "tincture", targets: ["TinctureCommandLine"]),
  ],
  targets: [
    .target(name: "CKernels", path: "Sources/CKernels"),
    .target(name: "CFormats", path: "Sources/CFormats"),
    .target(name: "CSystem", path: "Sources/CSystem"),
    .systemLibrary(
      name: "CZstd", path: "Sources/CZstd", pkgConfig: "libzstd",
      providers: [.apt(["libzstd-dev"]), .brew(["zstd"])]),
    room("Core", ["CKernels", "CFormats", "CSystem"]),
    room("Blocks", ["TinctureCore", "CKernels"]),
    room("Text", ["TinctureCore"]),
    room("Containers", ["TinctureCore", "TinctureBlocks", "CZstd"]),
    room("Calibration", ["TinctureCore", "TinctureContainers"]),
    room("Catalog", ["TinctureCore", "TinctureBlocks", "TinctureText", "TinctureContainers"]),
    room(
      "Runtime",
      ["TinctureCore", "TinctureBlocks", "TinctureContainers", "TinctureCatalog", "CKernels"]),
    room("Parity", ["CKernels", "TinctureCore", "TinctureContainers"]),
    .target(
      name: "Tincture",
      dependencies: [
        "TinctureCore", "TinctureBlocks", "TinctureText", "TinctureContainers", "TinctureCatalog",
        "TinctureCalibration", "TinctureParity", "TinctureRuntime",
      ],
      path: "Sources/Tincture"),
    .executableTarget(
      name: "TinctureCommandLine", dependencies: ["Tincture"], path: "Sources/CommandLine"),
    .target(
      name: "TinctureTestSupport", dependencies: ["TinctureCore", "TinctureContainers"],
      path: "Tests/Support"),
    tests("CoreTests", ["TinctureCore"]),
    tests("BlocksTests", ["TinctureBlocks", "CKernels"]),
    tests("TextTests", ["TinctureText"]),
    tests("ContainersTests", ["TinctureContainers"]),
    tests("CalibrationTests", ["TinctureCalibration", "TinctureContainers"]),
    tests("CatalogTests", ["TinctureCatalog"]),
    tests(
      "RuntimeTests", ["TinctureRuntime", "TinctureCatalog", "TinctureContainers", "CKernels"]),
    tests("ParityTests", ["TinctureParity", "TinctureContainers", "CKernels"]),
    // Throws damaged files at every parser: tools/test.sh runs it for a short time. Not a product.
    .target(name: "CFuzz", path: "Tests/CFuzz"),
    .executableTarget(
      name: "tincture-fuzz",
      dependencies: [
        "TinctureCore", "TinctureText", "TinctureContainers", "TinctureCalibration",
        "TinctureCatalog", "TinctureParity", "CFuzz",
      ],
      path: "Tests/Fuzz"),
    // Renders chat templates for tools/check/chat.py. Not a product.
    .executableTarget(
      name: "tincture-chat", dependencies: ["TinctureCore", "TinctureText"], path: "Tests/Chat"),
    // Fails every file operation of an export in turn; the end-to-end tests run it. Not a product.
    .executableTarget(
      name: "tincture-faults", dependencies: ["Tincture", "TinctureTestSupport"],
      path: "Tests/Faults"),
    // The README's example program.
    .executableTarget(name: "tincture-example", dependencies: ["Tincture"], path: "Tests/Example"),
    tests(
      "EndToEndTests", ["Tincture", "TinctureCommandLine", "tincture-faults", "tincture-example"]),
  ],
  cLanguageStandard: .c2x
)
