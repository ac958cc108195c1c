using LowRankQuant.Cli;

return await new App(Terminal.System(), Engine.Default).RunAsync(args);
