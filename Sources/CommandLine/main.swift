import Tincture

Console.ignoreWriteSignals()
Interrupts.install()
Console.end(Tool.run(Console.arguments()))
