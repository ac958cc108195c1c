using System.Globalization;
using LowRankQuant.Quantization.Pipeline;

namespace LowRankQuant.Quantization.Tuning;

/// <summary>The part of <see cref="RecipeResolver"/> that is about tuning the whole model. Whatever is wrong goes to the list of problems.</summary>
/// <param name="request">What was asked for.</param>
/// <param name="method">The method.</param>
/// <param name="problems">Receives what cannot be run.</param>
internal sealed class TuningResolver(RecipeRequest request, QuantizationMethod method, List<string> problems)
{
    private const double DefaultRate = 2e-3;
    private const int DefaultBatch = 4;

    /// <summary>The recipe; null where nothing is tuned.</summary>
    /// <param name="twoLevel">Whether some layer may be on a two-level grid.</param>
    /// <param name="samples">Calibration windows.</param>
    public TuningRecipe? Resolve(bool twoLevel, int samples)
    {
        int steps = request.TuneSteps ?? 0;
        if (steps < 0) problems.Add($"--tune-steps {steps}: must be at least 0 (steps over the whole model).");
        if (steps <= 0)
        {
            foreach ((string option, bool given) in new[] { ("--tune-rate", request.TuneRate is not null), ("--tune-batch", request.TuneBatch is not null) })
            {
                if (given) problems.Add($"{option} needs --tune-steps: it says how the whole model is tuned.");
            }
            return null;
        }
        if (method == QuantizationMethod.Rtn && !request.HasCalibration) problems.Add("--tune-steps learns from text: give --calibration FILE, or --calibration self.");
        if (twoLevel) problems.Add("--tune-steps does not apply to two-level grids: their scales are products of stored integers; leave it out, or choose a uniform grid.");
        double rate = request.TuneRate ?? DefaultRate;
        if (!(rate > 0) || !double.IsFinite(rate)) problems.Add(string.Create(CultureInfo.InvariantCulture, $"--tune-rate {rate:R}: must be a positive finite number, such as 0.002."));
        int batch = request.TuneBatch ?? Math.Min(DefaultBatch, Math.Max(1, samples));
        if (batch < 1 || batch > Math.Max(1, samples)) problems.Add($"--tune-batch {batch}: must be 1 to the number of calibration windows, {samples}.");
        return new TuningRecipe { Steps = steps, LearningRate = rate, Batch = batch };
    }
}
