using System.Text;
using LowRankQuant.Evaluation.Tasks.Requests;
using LowRankQuant.Evaluation.Tasks.Scoring;

namespace LowRankQuant.Evaluation.Figures;

/// <summary>
/// lm-evaluation-harness's perplexity of documents (<c>loglikelihood_rolling</c>): every token of a document is scored, the first behind a prefix
/// token; sums are divided by the words and bytes of the original text, so that tokenizers can be compared.
/// </summary>
/// <param name="runner">The model; not owned.</param>
/// <param name="encoder">The harness's rules for ids and prefix.</param>
/// <param name="context">Tokens of a block, at most the model's positions.</param>
internal sealed class RollingPerplexity(ModelRunner runner, PairEncoder encoder, int context)
{
    private const int GroupTokens = 1 << 16;

    /// <summary>Told the number, the log-likelihoods of the windows, the words and the bytes of every document; null for nobody.</summary>
    public Action<int, double[], int, int>? DocumentScored { get; init; }

    /// <summary>
    /// The windows of a document: blocks side by side, each scored whole behind one token of context; the last, shorter one behind as much context as
    /// fills a block.
    /// </summary>
    /// <param name="tokens">The document.</param>
    /// <param name="prefix">Stands in front of its first token.</param>
    /// <param name="length">Tokens of a block.</param>
    public static IEnumerable<TokenPair> Windows(int[] tokens, int prefix, int length)
    {
        for (int start = 0; start < tokens.Length; start += length)
        {
            int end = Math.Min(start + length, tokens.Length);
            int[] before = start == 0 ? [prefix] : tokens[(end - length - 1)..start];
            yield return new TokenPair(before, tokens[start..end]);
        }
    }

    /// <summary>Tokens of the documents read so far.</summary>
    public long TokensRead { get; private set; }

    /// <summary>Measures documents; enumerates them once, as far as the work has come.</summary>
    /// <param name="pages">At least one.</param>
    /// <param name="progress">Told how many thousands of tokens are done.</param>
    /// <param name="cancellation">Ends the work.</param>
    public EvaluationResult Measure(IEnumerable<string> pages, IProgress<EvaluationProgress>? progress, CancellationToken cancellation)
    {
        RunningRatio perWord = new(), perByte = new();
        var scorer = new LikelihoodScorer(runner);
        int documents = 0, windows = 0;
        long tokens = 0;
        foreach (List<Document> group in Groups(pages))
        {
            // Each window is a unit: windows of a document share no beginning.
            ScoringUnit[] units = [.. group.SelectMany(document => document.Windows).Select(pair => new ScoringUnit([TokenRequest.Fit(pair.Context, pair.Continuation, context)], null))];
            var scores = new List<double>(units.Length);
            scorer.Score(
                units, 0, (_, found) => scores.Add(found[0].LogLikelihood), progress is null ? null : new GroupProgress(progress, tokens), cancellation);
            int at = 0;
            foreach (Document document in group)
            {
                double[] sums = [.. scores.GetRange(at, document.Windows.Length)];
                at += sums.Length;
                DocumentScored?.Invoke(documents, sums, document.Words, document.Bytes);
                documents++;
                perWord.Add(-sums.Sum(), document.Words);
                perByte.Add(-sums.Sum(), document.Bytes);
            }
            windows += units.Length;
            tokens += units.Sum(unit => (long)unit.Requests[0].Scored);
        }
        var errors = new Dictionary<string, double>();
        Add("wordPerplexity", perWord.Error * Math.Exp(perWord.Ratio));
        Add("bytePerplexity", perByte.Error * Math.Exp(perByte.Ratio));
        Add("bitsPerByte", perByte.Error / Math.Log(2));
        return new EvaluationResult
        {
            WordPerplexity = Math.Exp(perWord.Ratio),
            BytePerplexity = Math.Exp(perByte.Ratio),
            BitsPerByte = perByte.Ratio / Math.Log(2),
            Documents = documents,
            Windows = windows,
            Tokens = tokens,
            StandardErrors = errors,
        };

        void Add(string name, double? error)
        {
            if (error is { } value) errors[name] = value;
        }
    }

    /// <summary>Documents that are scored together: some rounds of batches, or one long document.</summary>
    private IEnumerable<List<Document>> Groups(IEnumerable<string> pages)
    {
        var group = new List<Document>();
        long tokens = 0;
        foreach (string page in pages)
        {
            int[] ids = encoder.Text(WikiText.Detokenize(page));
            group.Add(new Document([.. Windows(ids, encoder.PrefixToken, context)], WikiText.CountWords(page), Encoding.UTF8.GetByteCount(page)));
            tokens += ids.Length;
            TokensRead += ids.Length;
            if (tokens < GroupTokens) continue;
            yield return group;
            (group, tokens) = ([], 0);
        }
        if (group.Count > 0) yield return group;
    }

    private sealed record Document(TokenPair[] Windows, int Words, int Bytes);

    /// <summary>Tokens of a group counted among all.</summary>
    private sealed class GroupProgress(IProgress<EvaluationProgress> inner, long before) : IProgress<EvaluationProgress>
    {
        public void Report(EvaluationProgress value) => inner.Report(value with { Done = (int)(before / 1000) + value.Done, Total = 0 });
    }
}
