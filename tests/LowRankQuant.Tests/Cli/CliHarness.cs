using LowRankQuant.Cli;
using LowRankQuant.Cli.Commands;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Hub;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Runs;
using LowRankQuant.Runs.Correcting;
using LowRankQuant.Runs.Evaluating;
using LowRankQuant.Runs.Quantizing;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Tests.Cli;

/// <summary>The program in this process, with an engine that records what it is asked to do.</summary>
#pragma warning disable CA1001 // Writers into memory hold nothing that must be given back.
internal sealed class CliHarness : IQuantizeRun, IEvaluationRun, ICorrectRun
#pragma warning restore CA1001
{
    private readonly TextWriter _out = new StringWriter { NewLine = "\n" };
    private readonly TextWriter _error = new StringWriter { NewLine = "\n" };

    public string Out => _out.ToString()!;

    public string Error => _error.ToString()!;

    public QuantizeJob? Quantized { get; private set; }

    public EvaluationJob? Evaluated { get; private set; }

    public CorrectJob? Corrected { get; private set; }

    /// <summary>Done in the middle of a run.</summary>
    public Action<IRunObserver>? During { get; init; }

    /// <summary>The hub; no test asks one that does not bring its own.</summary>
    public Func<HubOptions> Hub { get; init; } = () => throw new InvalidOperationException("A name was looked up on a hub.");

    public RunReport Report { get; init; } = new() { Method = "lrq", Scheme = "w3", Output = "out" };

    public EvaluationResult Figures { get; init; } = new();

    public async Task<int> Run(params string[] args) =>
        await new App(new Terminal(_out, _error, false, false), new Engine(this, this, this, BuiltInMethods.Catalog) { Hub = Hub }).RunAsync(args, TestContext.Current.CancellationToken);

    RunReport IQuantizeRun.Run(QuantizeJob job, IRunObserver observer, CancellationToken cancellation)
    {
        Quantized = job;
        During?.Invoke(observer);
        return Report;
    }

    CorrectReport ICorrectRun.Run(CorrectJob job, IRunObserver observer, CancellationToken cancellation)
    {
        Corrected = job;
        return new CorrectReport
        {
            BaseBitsPerWeight = 2,
            BitsPerWeight = 3,
            CountedBitsPerWeight = 2.5,
            AdapterBytes = 16_152,
            CountedAdapterBytes = 3_840,
            Layers = [new LayerReport("q_proj", 8, 8, 2, 1, 2.5, 0.5, 0.25)],
        };
    }

    EvaluationResult IEvaluationRun.Run(EvaluationJob job, IRunObserver observer, CancellationToken cancellation)
    {
        Evaluated = job;
        During?.Invoke(observer);
        return Figures;
    }
}
