namespace LowRankQuant.Evaluation;

/// <summary>What was measured in one window.</summary>
/// <param name="Window">Its number.</param>
/// <param name="Losses">Negative log-likelihood in nats of every scored token.</param>
/// <param name="Divergences">KL divergence from the reference in nats at every compared position; null without a reference.</param>
/// <param name="Agreements">Whether both models' most probable tokens are the same, at every compared position; null without a reference.</param>
public sealed record WindowScore(int Window, float[] Losses, double[]? Divergences, bool[]? Agreements)
{
    /// <summary>Sum of <see cref="Losses"/>.</summary>
    public double LossSum
    {
        get
        {
            double sum = 0;
            foreach (float loss in Losses) sum += loss;
            return sum;
        }
    }
}
