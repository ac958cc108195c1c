using LowRankQuant.Cli;
using LowRankQuant.Cli.Commands;

return await new App(Terminal.System(), Engine.Default).RunAsync(args);
