namespace LowRankQuant.Evaluation;

/// <summary>Gathers windows and makes means and standard errors of them, all in double precision and in the order of the windows.</summary>
internal sealed class EvaluationStatistics(PerplexityAverage average, bool compared)
{
    private readonly List<float[]> _losses = [];
    private readonly List<double[]> _divergences = [];
    private long _agreements;

    public void Add(WindowScore score)
    {
        _losses.Add(score.Losses);
        if (!compared) return;
        _divergences.Add(score.Divergences!);
        foreach (bool agreement in score.Agreements!) _agreements += agreement ? 1 : 0;
    }

    public EvaluationResult Result()
    {
        var errors = new Dictionary<string, double>();
        double[] means = [.. _losses.Select(losses => Mean([losses]).Mean)];
        (double tokenMean, double? tokenError, long tokens) = Mean(_losses);
        (double windowMean, double? windowError, _) = Mean([means]);
        bool byWindow = average == PerplexityAverage.Windows;
        double loss = byWindow ? windowMean : tokenMean;
        if ((byWindow && means.Length > 1 ? windowError : tokenError) is { } lossError)
        {
            errors["perplexity"] = Math.Exp(loss) * lossError;
            errors["negativeLogLikelihood"] = lossError;
        }
        var result = new EvaluationResult
        {
            Perplexity = Math.Exp(loss),
            NegativeLogLikelihood = loss,
            Tokens = tokens,
            Windows = means.Length,
            StandardErrors = errors,
        };
        if (!compared) return result;
        (double divergence, double? divergenceError, long positions) = Mean(_divergences);
        double agreement = (double)_agreements / positions;
        if (divergenceError is { } error) errors["klDivergence"] = error;
        if (positions > 1) errors["top1Agreement"] = Math.Sqrt(agreement * (1 - agreement) / (positions - 1));
        return result with { KlDivergence = divergence, Top1Agreement = agreement };
    }

    /// <summary>Mean and standard error (sample deviation / sqrt n) of all values.</summary>
    private static (double Mean, double? Error, long Count) Mean<T>(IReadOnlyList<T[]> parts)
        where T : System.Numerics.INumber<T>
    {
        long count = 0;
        double sum = 0, squares = 0;
        foreach (T[] part in parts)
        {
            count += part.Length;
            foreach (T value in part) sum += double.CreateChecked(value);
        }
        double mean = sum / count;
        foreach (T[] part in parts)
        {
            foreach (T value in part)
            {
                double difference = double.CreateChecked(value) - mean;
                squares += difference * difference;
            }
        }
        return (mean, count > 1 ? Math.Sqrt(squares / (count - 1) / count) : null, count);
    }
}
