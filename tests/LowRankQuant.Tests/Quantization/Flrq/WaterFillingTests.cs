using LowRankQuant.Quantization.Methods.Budget;

namespace LowRankQuant.Tests.Quantization.Flrq;

public sealed class WaterFillingTests
{
    [Fact]
    public void NoOtherSpendingWithinTheBudgetIsMuchBetter()
    {
        var random = new Random(3);
        for (int trial = 0; trial < 30; trial++)
        {
            LayerOptions[] layers = [.. Enumerable.Range(0, 4).Select(i => new LayerOptions($"{i}", [.. Enumerable.Range(0, 5).Select(k =>
                new LayerChoice(null, 0, 10 + (k * (5 + random.Next(5))), Math.Pow(4, -k) * (1 + random.NextDouble()) * (1 << (2 * i))))]))];
            double budget = 40 + random.Next(80);
            LayerChoice[] chosen = WaterFilling.Spend(layers, budget);
            Assert.True(chosen.Sum(choice => choice.Cost) <= budget);
            double best = double.PositiveInfinity;
            foreach (LayerChoice a in layers[0].Choices)
            {
                foreach (LayerChoice b in layers[1].Choices)
                {
                    foreach (LayerChoice c in layers[2].Choices)
                    {
                        foreach (LayerChoice d in layers[3].Choices)
                        {
                            if (a.Cost + b.Cost + c.Cost + d.Cost <= budget) best = Math.Min(best, a.Loss + b.Loss + c.Loss + d.Loss);
                        }
                    }
                }
            }
            double loss = chosen.Sum(choice => choice.Loss);
            Assert.True(loss <= 2 * best, $"trial {trial}: {loss}, best {best}");
        }
    }

    [Fact]
    public void ABudgetBelowTheCheapestIsRefused() =>
        Assert.Throws<ArgumentException>(() => WaterFilling.Spend([new LayerOptions("a", [new LayerChoice(null, 0, 10, 1)])], 9));
}
