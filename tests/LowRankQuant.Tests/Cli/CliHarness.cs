using LowRankQuant.Cli;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Runs;

namespace LowRankQuant.Tests.Cli;

/// <summary>The program in this process, with an engine that records what it is asked to do.</summary>
internal sealed class CliHarness : IQuantizeRun, IEvaluationRun
{
    private readonly StringWriter _out = new() { NewLine = "\n" };
    private readonly StringWriter _error = new() { NewLine = "\n" };

    public string Out => _out.ToString();

    public string Error => _error.ToString();

    public QuantizeJob? Quantized { get; private set; }

    public EvaluationJob? Evaluated { get; private set; }

    /// <summary>Done in the middle of a run.</summary>
    public Action<IRunObserver>? During { get; init; }

    public RunReport Report { get; init; } = new() { Method = "lrq", Scheme = "w3", Output = "out" };

    public EvaluationResult Figures { get; init; } = new();

    public async Task<int> Run(params string[] args) =>
        await new App(new Terminal(_out, _error, false, false), new Engine(this, this)).RunAsync(args, TestContext.Current.CancellationToken);

    RunReport IQuantizeRun.Run(QuantizeJob job, IRunObserver observer, CancellationToken cancellation)
    {
        Quantized = job;
        During?.Invoke(observer);
        return Report;
    }

    EvaluationResult IEvaluationRun.Run(EvaluationJob job, IRunObserver observer, CancellationToken cancellation)
    {
        Evaluated = job;
        During?.Invoke(observer);
        return Figures;
    }
}
