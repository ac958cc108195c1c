using System.Globalization;
using LowRankQuant.Quantization.Methods;

namespace LowRankQuant.Quantization.Recipes.Resolving;

/// <summary>The part of <see cref="RecipeResolver"/> that is about tuning the whole model. Whatever is wrong goes to the list of problems.</summary>
/// <param name="request">What was asked for.</param>
/// <param name="method">The method.</param>
/// <param name="problems">Receives what cannot be run.</param>
/// <param name="notes">Receives what the user should know.</param>
internal sealed class TuningResolver(RecipeRequest request, QuantizationMethod method, List<string> problems, List<string> notes)
{
    private const int DefaultBatch = 4;

    // Scales and branches are many: the statistics of 64 windows suffice to fit layers, but a model tuned on them over-fits (docs/results/flrq.md).
    private const int DefaultSamples = 256;

    // Where nobody asks, codes of larger models stay: each takes floats for itself, its gradient, two moments and the best so far.
    private const long MostCodes = 1_000_000_000;
    private const int CodeFloats = 5;

    /// <summary>First rates by code width: the row with the largest width not above that of the model. Smaller errors want smaller steps.</summary>
    private static readonly (int Bits, double Rate)[] Rates = [(4, 1e-3), (3, 2e-3), (2, 4e-3)];

    /// <summary>The recipe; null where nothing is tuned.</summary>
    /// <param name="bits">Code width; with a budget the largest that fits it.</param>
    /// <param name="named">The layers that will be on two-level or float grids or have float minima, whether asked for, chosen by a budget or the nearest that a target holds.</param>
    /// <param name="hasMinima">Whether one of them has float minima.</param>
    /// <param name="layers">How many layers a block has.</param>
    /// <param name="weights">Weights of all linears of the model.</param>
    /// <param name="samples">Calibration windows of the method.</param>
    /// <param name="heldOut">Windows to judge by: without any nothing tells when tuning over-fits, and it is not done unless asked for.</param>
    public TuningRecipe? Resolve(int bits, IReadOnlyList<string> named, bool hasMinima, int layers, long weights, int samples, int heldOut)
    {
        int steps = request.TuneSteps ?? (named.Count == 0 && heldOut > 0 ? method.TuneSteps(bits) : 0);
        if (steps < 0) problems.Add($"`tune.steps` {steps}: must be at least 0 (steps over the whole model).");
        if (steps <= 0)
        {
            foreach ((string option, bool given) in Details())
            {
                if (given) problems.Add($"{option} needs `tune.steps`: it says how the whole model is tuned.");
            }
            return null;
        }
        if (!method.Needs.HasFlag(MethodNeeds.Calibration) && !request.HasCalibration) problems.Add("`tune.steps` learns from text: give `calibration` FILE, or `calibration` self.");
        if (named.Count > 0 && named.Count == layers)
            problems.Add(hasMinima
                ? "`tune.steps` does not apply to float minima, which all layers will have: it tunes what uniform grids store; leave it out, or give `zeros` integer."
                : "`tune.steps` does not apply to two-level grids or grids of floats, on which all layers will lie: their scales are not free; leave it out, or choose a uniform grid.");
        else if (named.Count > 0)
            notes.Add($"`tune.steps` tunes the layers on uniform grids; {string.Join(", ", named)}, {(hasMinima ? "with float minima" : "on two-level grids or grids of floats")}, stay as the method makes them.");
        double rate = request.TuneRate ?? Rates.FirstOrDefault(row => bits >= row.Bits, Rates[^1]).Rate;
        if (!(rate > 0) || !double.IsFinite(rate)) problems.Add(string.Create(CultureInfo.InvariantCulture, $"`tune.rate` {rate:R}: must be a positive finite number, such as 0.002."));
        double usual = method.TuneCodeRate(steps);
        bool decides = usual > 0 || request.TuneCodeRate is not null;
        if (usual > 0 && weights > MostCodes && request.TuneCodeRate is null)
        {
            usual = 0;
            notes.Add(string.Create(CultureInfo.InvariantCulture, $"Codes stay while the whole model is tuned: with {weights / 1e9:F1} billion weights they would take {CodeFloats * sizeof(float) * weights / 1e9:F0} GB; `tune.code_rate` asks for it."));
        }
        double codeRate = request.TuneCodeRate ?? usual;
        if (!(codeRate >= 0) || !double.IsFinite(codeRate)) problems.Add(string.Create(CultureInfo.InvariantCulture, $"`tune.code_rate` {codeRate:R}: must be 0 (codes stay) or a positive finite number of steps of the grid, such as 0.02."));
        int windows = request.TuneSamples ?? Math.Max(DefaultSamples, samples);
        if (windows < samples) problems.Add($"`tune.samples` {windows}: at least the {samples} calibration windows of the method; they are always among them.");
        int batch = request.TuneBatch ?? Math.Min(DefaultBatch, Math.Max(1, samples));
        if (batch < 1 || batch > Math.Max(1, samples)) problems.Add($"`tune.batch` {batch}: must be 1 to the number of calibration windows, {samples}.");
        return new TuningRecipe { Steps = steps, LearningRate = rate, CodeRate = decides ? codeRate : null, Batch = batch, Samples = windows };
    }

    private IEnumerable<(string Option, bool Given)> Details() =>
        [("`tune.rate`", request.TuneRate is not null), ("`tune.code_rate`", request.TuneCodeRate is not null), ("`tune.batch`", request.TuneBatch is not null), ("`tune.samples`", request.TuneSamples is not null)];
}
