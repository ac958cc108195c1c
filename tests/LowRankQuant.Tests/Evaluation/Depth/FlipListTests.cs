using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.HuggingFace;

namespace LowRankQuant.Tests.Evaluation.Depth;

public class FlipListTests
{
    [Fact]
    public void TheSurestStay_TheEarlierOfTwo()
    {
        var list = new FlipList(3);
        int[] ids = [.. Enumerable.Range(100, 40)];
        double[] probabilities = [0.5, 0.9, 0.5, 0.2, 0.7, 0.5, 0.9];
        for (int i = 0; i < probabilities.Length; i++) list.Add(2, ids, 30 + i, new PositionFacts(1, probabilities[i], 0.1, 5, 0.6, 1, -1), i);
        list.Add(3, ids, 39, new PositionFacts(1, 1, 0.9, 1, 0.9, 1, 1), 9);
        IReadOnlyList<Flip> flips = list.Result(new TokenWords(null));
        Assert.Equal([(31, 0.9), (36, 0.9), (34, 0.7)], flips.Select(flip => (flip.Position, flip.ExpectedProbability)));
        Assert.Equal(string.Join(' ', ids[8..32].Select(id => $"#{id}")), flips[0].Context);
        Assert.Equal(("#1", "#5", "#132", 1.0, 2), (flips[0].Expected, flips[0].Found, flips[0].Actual, flips[0].KlDivergence, flips[0].Window));
    }

    [Fact]
    public void TheLastPositionHasNoNextToken()
    {
        var list = new FlipList(3);
        list.Add(0, [7, 8], 1, new PositionFacts(1, 0.5, 0.1, 5, 0.6, 1, -1), 0);
        Flip flip = Assert.Single(list.Result(new TokenWords(null)));
        Assert.Null(flip.Actual);
        Assert.Equal("#7 #8", flip.Context);
    }

    // Tokens of the vocabulary that are parts of a character are spelled as they stand there.
    [Fact]
    public void BytesThatAreNoTextAreSpelledByTheVocabulary()
    {
        ITokenizer tokenizer = TokenizerJson.Load(TestData.Path("tokenizers", "hf-qwen3", "tokenizer.json"));
        var words = new TokenWords(tokenizer);
        int[] context = tokenizer.Encode("It is", addSpecialTokens: false), rare = tokenizer.Encode("\U00010348", addSpecialTokens: false);
        Assert.True(rare.Length > 1);
        Assert.Equal(" cold", words.After(context, tokenizer.Encode(" cold", addSpecialTokens: false).Single()));
        Assert.Equal(tokenizer.TokenText(rare[0]), words.After(context, rare[0]));
        Assert.DoesNotContain('\uFFFD', words.Of([.. rare[1..], .. context]));
        Assert.Equal("<|im_end|>", words.After(context, tokenizer.TokenId("<|im_end|>")!.Value));
        Assert.Equal("#99999999", words.After(context, 99999999));
    }
}
