namespace LowRankQuant.Numerics;

/// <summary>What one Adam step multiplies by, computed in double precision.</summary>
internal readonly struct AdamFactors
{
    public AdamFactors(in AdamArguments arguments)
    {
        double beta1 = AsWritten(arguments.Beta1), beta2 = AsWritten(arguments.Beta2);
        Beta1 = (float)beta1;
        Rest1 = (float)(1 - beta1);
        Beta2 = (float)beta2;
        Rest2 = (float)(1 - beta2);
        Rate = (float)(arguments.Rate / (1 - Math.Pow(beta1, arguments.Step)));
        SecondCorrection = (float)(1 / (1 - Math.Pow(beta2, arguments.Step)));
        Epsilon = arguments.Epsilon;
    }

    public float Beta1 { get; }

    /// <summary>1 - beta1.</summary>
    public float Rest1 { get; }

    public float Beta2 { get; }

    /// <summary>1 - beta2.</summary>
    public float Rest2 { get; }

    /// <summary>The rate with the bias correction of the first moment.</summary>
    public float Rate { get; }

    /// <summary>1 / (1 - beta2^step).</summary>
    public float SecondCorrection { get; }

    public float Epsilon { get; }

    /// <summary>
    /// The number that a float was written as, 0.999 and not 0.99900001 (a decimal keeps seven digits of a float): else 1 - beta2 would be off by
    /// 1e-5 of itself.
    /// </summary>
    public static double AsWritten(float beta) => (double)(decimal)beta;
}
