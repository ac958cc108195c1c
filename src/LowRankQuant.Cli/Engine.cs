using LowRankQuant.Hub;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Runs.Correcting;
using LowRankQuant.Runs.Evaluating;
using LowRankQuant.Runs.Quantizing;

namespace LowRankQuant.Cli;

/// <summary>What does the work behind the commands.</summary>
/// <param name="Quantize">Quantizes and measures.</param>
/// <param name="Evaluate">Measures.</param>
/// <param name="Correct">Finds a branch for a quantized model.</param>
/// <param name="Methods">The methods that there are.</param>
internal sealed record Engine(IQuantizeRun Quantize, IEvaluationRun Evaluate, ICorrectRun Correct, MethodCatalog Methods)
{
    /// <summary>The hub that names are looked up on; read when the first name asks for it.</summary>
    public Func<HubOptions> Hub { get; init; } = HubOptions.FromEnvironment;

    /// <summary>The real one.</summary>
    public static Engine Default { get; } = new(new QuantizeRun(), new EvaluationRun(), new CorrectRun(), BuiltInMethods.Catalog);
}
