@_exported import TinctureBlocks
@_exported import TinctureCalibration
@_exported import TinctureCatalog
@_exported import TinctureContainers
@_exported import TinctureCore
@_exported import TinctureRuntime
@_exported import TinctureText
