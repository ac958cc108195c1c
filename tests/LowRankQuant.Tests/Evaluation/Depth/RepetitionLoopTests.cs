using LowRankQuant.Evaluation.Depth;

namespace LowRankQuant.Tests.Evaluation.Depth;

public class RepetitionLoopTests
{
    [Theory]
    // A token, a pair, a sentence over and over, its beginning cut at the end of the text.
    [InlineData("9 8 7 1 1 1 1 1 1 1 1 1 1 1 1", 1)]
    [InlineData("5 1 2 1 2 1 2 1 2 1 2 1 2", 2)]
    [InlineData("7 1 2 3 4 1 2 3 4 1 2 3 4", 4)]
    [InlineData("1 2 3 4 5 1 2 3 4 5 1 2 3 4 5 1 2", 5)]
    // The whole text is the loop.
    [InlineData("1 2 3 4 1 2 3 4 1 2 3 4", 4)]
    // Said twice, a row of eleven, a loop that was left again, and one that ends with another token.
    [InlineData("1 2 3 4 5 6 1 2 3 4 5 6", 0)]
    [InlineData("9 1 1 1 1 1 1 1 1 1 1 1", 0)]
    [InlineData("1 2 1 2 1 2 1 2 1 2 1 2 3 4 5", 0)]
    [InlineData("1 1 1 1 1 1 1 1 1 1 1 1 1 1 0", 0)]
    [InlineData("", 0)]
    [InlineData("1", 0)]
    // A loop whose sequence holds a shorter one: the whole of it goes round.
    [InlineData("1 1 2 1 1 2 1 1 2 1 1 2", 3)]
    public void ThePeriodIsThatOfTheEnd(string tokens, int period) =>
        Assert.Equal(period, RepetitionLoop.PeriodOf([.. tokens.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse)]));

    [Fact]
    public void BothTextsAreLookedAt()
    {
        int[] expected = [1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3], found = [1, 2, 4, 5, 6];
        SampleText sample = SampleTexts.Pair([7, 8], expected, found, new TokenWords(null));
        Assert.Equal(new SampleText("#7 #8", "#1 #2 #3 #3 #3 #3 #3 #3 #3 #3 #3 #3 #3 #3", "#1 #2 #4 #5 #6", 2, 5, "#3", null), sample);
    }
}
