using LowRankQuant.Evaluation.Depth;

namespace LowRankQuant.Tests.Evaluation.Depth;

/// <summary>What is read off logits, against the formulas in double precision.</summary>
public class PositionFactsTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(8)]
    [InlineData(17)]
    [InlineData(1001)]
    public void FactsAreThoseOfTheFormulas(int vocabulary)
    {
        var random = new Random(vocabulary);
        for (int trial = 0; trial < 20; trial++)
        {
            float[] reference = Logits(), model = Logits();
            int[] order = [.. Enumerable.Range(0, vocabulary).OrderByDescending(i => reference[i])];
            int found = Array.IndexOf(model, model.Max());
            double ownSum = LogSumExp(model), otherSum = LogSumExp(reference);
            var facts = PositionFacts.Of(reference, (float)otherSum, order[0], model, (float)ownSum, found);
            Assert.Equal((order[0], found), (facts.Expected, facts.Found));
            Assert.Equal(Math.Exp(reference[order[0]] - otherSum), facts.Probability, 1e-6);
            Assert.Equal(Math.Exp(model[order[0]] - ownSum), facts.Kept, 1e-6);
            Assert.Equal(Math.Exp(model[found] - ownSum), facts.FoundProbability, 1e-6);
            Assert.Equal((double)reference[order[0]] - reference[order[1]], facts.Margin, 1e-12);
            Assert.Equal((double)model[order[0]] - model[order[1]], facts.ModelMargin, 1e-12);
        }

        float[] Logits() => [.. Enumerable.Range(0, vocabulary).Select(_ => (float)((random.NextDouble() * 20) - 10))];
    }

    [Theory]
    [InlineData("3", 0, -1)]
    [InlineData("3 1", 0, 1)]
    [InlineData("1 3", 1, 0)]
    // Of equal ones the first.
    [InlineData("5 2 5 5", 0, 2)]
    [InlineData("2 2 2 2", 0, 1)]
    [InlineData("0 1 9 4 4 4 3 2 1 0 -1 4 8 7 7 8 8 2 3", 2, 12)]
    [InlineData("0 1 2 4 4 4 3 2 1 0 -1 4 8 7 7 9 8 2 3", 15, 12)]
    public void TheSecondIsTheFirstLargestBesideTheFirst(string row, int first, int second) =>
        Assert.Equal(second, PositionFacts.Second([.. row.Split(' ').Select(float.Parse)], first));

    [Fact]
    public void AVocabularyOfOneTokenHasNoMargin()
    {
        var facts = PositionFacts.Of([1f], 1, 0, [2f], 2, 0);
        Assert.True(double.IsNaN(facts.Margin) && facts.Agrees);
        var margins = new MarginSums();
        margins.Add(facts.Margin, facts.ModelMargin);
        margins.Add(2, 0.5);
        margins.Add(1, 0.75);
        margins.Add(1, -0.5);
        // Half of it is not less than half.
        margins.Add(1, 0.5);
        Assert.Equal(new MarginRatio(5 / 4.0, 1.25 / 4, 0.25, 0.5), margins.Result());
    }

    private static double LogSumExp(float[] row)
    {
        double largest = row.Max();
        return largest + Math.Log(row.Sum(value => Math.Exp(value - largest)));
    }
}
