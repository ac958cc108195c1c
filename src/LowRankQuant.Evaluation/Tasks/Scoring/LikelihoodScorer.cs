using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Evaluation.Tasks.Scoring;

/// <summary>
/// Log-likelihoods of continuations. Tokens that requests have in common are computed once, by a tree of tokens for each item and by kept keys and
/// values for what items of a group begin with. A round of batches passes through one block after the other, so a model that does not fit memory is
/// read once a round.
/// </summary>
/// <param name="runner">The model; not owned.</param>
internal sealed class LikelihoodScorer(ModelRunner runner)
{
    // Logits of so many floats at a time.
    private const int LogitBudget = 1 << 23;
    private const long LaneBudget = 256L << 20;
    private const int MostLanes = 8;

    // Between rounds results are handed on, and kept by who can resume. Longer rounds compute shared prefixes less often.
    private const int RoundTokens = 1 << 15;

    private readonly Device _device = runner.Model.Device;

    /// <summary>Scores items in order.</summary>
    /// <param name="units">The items.</param>
    /// <param name="done">How many of the first are known already; what they share batches with is computed as if they were not.</param>
    /// <param name="consume">Given each further item's number and the scores of its requests, in order.</param>
    /// <param name="progress">Told how many tokens of all have passed through how many blocks.</param>
    /// <param name="cancellation">Ends the work.</param>
    public void Score(
        IReadOnlyList<ScoringUnit> units,
        int done,
        Action<int, TokenScore[]> consume,
        IProgress<EvaluationProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        IReadOnlyList<ScoringBatch> batches =
            [.. ScoringPlan.Of(units, runner.Options.BatchTokens).Where(batch => batch.FirstUnit + batch.Trees.Count > done)];
        long total = batches.Sum(batch => (long)batch.Tokens.Length), passed = 0;
        int next = done;
        for (int first = 0; first < batches.Count;)
        {
            List<ScoringBatch> round = Round(batches, ref first);
            long tokens = round.Where(batch => !batch.IsPrefix).Sum(batch => (long)batch.Tokens.Length), before = passed;
            Tensor[] states = Forward(round, share => Report(before + (long)(share * tokens)), cancellation);
            try
            {
                for (int i = 0; i < round.Count; i++)
                {
                    ScoringBatch batch = round[i];
                    if (batch.IsPrefix) continue;
                    TokenScore[][] scores = Scores(batch, states[i], cancellation);
                    for (int t = 0; t < scores.Length; t++)
                    {
                        int unit = batch.FirstUnit + t;
                        if (unit < done) continue;
                        // Items that cannot be asked are in no batch where a whole batch of them would be empty.
                        for (; next < unit; next++) consume(next, []);
                        consume(unit, scores[t]);
                        next = unit + 1;
                    }
                }
            }
            finally
            {
                foreach (Tensor state in states) state.Dispose();
            }
            passed += tokens;
        }
        for (; next < units.Count; next++) consume(next, []);

        // Thousands of tokens, so that the numbers of a whole test set fit.
        void Report(long tokens) => progress?.Report(new EvaluationProgress("thousand tokens", (int)(tokens / 1000), (int)Math.Max(1, total / 1000)));
    }

    /// <summary>The next batches whose hidden states fit, each group behind the batch of its prefix.</summary>
    private List<ScoringBatch> Round(IReadOnlyList<ScoringBatch> batches, ref int first)
    {
        long fits = runner.Options.Budget / 8 / sizeof(float) / runner.Model.Config.HiddenSize, tokens = 0;
        long most = Math.Clamp(fits, runner.Options.BatchTokens, RoundTokens);
        var round = new List<ScoringBatch>();
        int[]? prefix = null;
        while (first < batches.Count && (tokens == 0 || tokens + batches[first].Tokens.Length <= most))
        {
            ScoringBatch batch = batches[first++];
            if (batch.Prefix is not null && !ReferenceEquals(batch.Prefix, prefix)) round.Add(ScoringBatch.OfPrefix(batch.Prefix));
            prefix = batch.Prefix;
            round.Add(batch);
            tokens += batch.Tokens.Length;
        }
        return round;
    }

    /// <summary>Hidden states behind the last block, [tokens, hidden] for each batch; the caller's.</summary>
    private Tensor[] Forward(List<ScoringBatch> round, Action<double> report, CancellationToken cancellation)
    {
        int positions = round.Max(batch => batch.Positions), step = 0;
        var states = new Tensor[round.Count];
        var inputs = new PassInputs?[round.Count];
        try
        {
            runner.WithEmbedding(embedding =>
            {
                for (int i = 0; i < states.Length; i++)
                {
                    states[i] = _device.Empty(round[i].Tokens.Length, runner.Model.Config.HiddenSize);
                    inputs[i] = new PassInputs(embedding, runner.Model.Config.Layers, round[i].Tokens, states[i], round[i].RowPositions());
                }
            });
            runner.ForEachBlock(block =>
            {
                long laneBytes = Math.Max(1, block.StateSize.Of(positions));
                IMixerState[] lanes = [.. Enumerable.Range(0, (int)Math.Clamp(LaneBudget / laneBytes, 1, MostLanes)).Select(_ => block.CreateState(_device, positions))];
                try
                {
                    for (int i = 0; i < states.Length; i++)
                    {
                        cancellation.ThrowIfCancellationRequested();
                        using (var tape = new Tape(_device, recording: false))
                        {
                            ForwardPass pass = inputs[i]!.For(ForwardPass.OfLanes(round[i].Share(lanes)), block.Index);
                            _device.Kernels.Copy(block.Forward(tape, new Variable(states[i]), pass).Value, states[i]);
                        }
                        if (round[i].IsPrefix)
                        {
                            for (int lane = 1; lane < lanes.Length; lane++) lanes[lane].CopyFrom(lanes[0], round[i].Tokens.Length);
                        }
                        report((double)++step / runner.Model.Config.Layers / states.Length);
                    }
                }
                finally
                {
                    foreach (IMixerState lane in lanes) lane.Dispose();
                }
            });
            return states;
        }
        catch
        {
            foreach (Tensor? state in states) state?.Dispose();
            throw;
        }
        finally
        {
            foreach (PassInputs? input in inputs) input?.Dispose();
        }
    }

    private TokenScore[][] Scores(ScoringBatch batch, Tensor states, CancellationToken cancellation)
    {
        TokenScore[][] scores = [.. batch.Trees.Select(tree => Enumerable.Repeat(new TokenScore(0, true), tree.Requests).ToArray())];
        // Predictions by row: choices share the row of their context's last token.
        var predictions = new List<(int Row, int Tree, TreePrediction Asked)>();
        for (int t = 0, first = 0; t < scores.Length; first += batch.Trees[t++].Tokens.Length)
        {
            foreach (TreePrediction asked in batch.Trees[t].Predictions) predictions.Add((first + asked.Row, t, asked));
        }
        int[] rows = [.. predictions.Select(prediction => prediction.Row).Distinct().Order()];
        int step = Math.Clamp(LogitBudget / runner.Head.VocabularySize, 16, 1024), at = 0;
        (int Row, int Tree, TreePrediction Asked)[] ordered = [.. predictions.OrderBy(prediction => prediction.Row)];
        for (int start = 0; start < rows.Length; start += step)
        {
            cancellation.ThrowIfCancellationRequested();
            ReadOnlySpan<int> chosen = rows.AsSpan(start, Math.Min(step, rows.Length - start));
            using var tape = new Tape(_device, recording: false);
            Tensor hidden = tape.Rent(chosen.Length, states.Columns), logSumExp = tape.Rent(chosen.Length);
            for (int i = 0; i < chosen.Length; i++) _device.Kernels.Copy(states.RowRange(chosen[i], 1), hidden.RowRange(i, 1));
            Tensor logits = runner.Head.Logits(tape, new Variable(hidden)).Value;
            var largest = new int[chosen.Length];
            _device.Kernels.SoftmaxStatistics(logits, logSumExp, largest);
            float[] denominators = logSumExp.ToArray();
            for (int i = 0; i < chosen.Length; i++)
            {
                for (; at < ordered.Length && ordered[at].Row == chosen[i]; at++)
                {
                    (_, int tree, TreePrediction asked) = ordered[at];
                    double logit = logits.Slice(((long)i * logits.Columns) + asked.Target, 1).ToArray()[0];
                    TokenScore sum = scores[tree][asked.Request];
                    scores[tree][asked.Request] = new TokenScore(sum.LogLikelihood + logit - denominators[i], sum.Greedy && largest[i] == asked.Target);
                }
            }
        }
        return scores;
    }
}
