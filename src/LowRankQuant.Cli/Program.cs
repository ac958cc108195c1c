using LowRankQuant.Cli;
using LowRankQuant.Cli.Commands;

Terminal terminal = Terminal.System();
Engine engine;
try
{
    engine = Engine.Default with { Methods = MethodLibraries.Join(Engine.Default.Methods) };
}
catch (RequestException failure)
{
    return Failures.Report(failure, terminal.Error, resumes: false);
}
return await new App(terminal, engine).RunAsync(args);
