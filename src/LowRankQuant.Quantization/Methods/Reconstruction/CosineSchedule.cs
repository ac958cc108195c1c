namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>rate_t = rate (1 + cos(pi t / iterations)) / 2, t = 0 in the first step, no warm-up.</summary>
internal readonly record struct CosineSchedule(double Rate, int Iterations)
{
    public double At(int iteration) => Rate * (1 + Math.Cos(Math.PI * iteration / Iterations)) / 2;
}
