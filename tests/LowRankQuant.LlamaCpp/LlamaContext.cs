namespace LowRankQuant.LlamaCpp;

/// <summary>Runs a model over token ids.</summary>
public sealed unsafe class LlamaContext : IDisposable
{
    private const int BatchSize = 512;
    private readonly LlamaModel _model;
    private readonly nint _context;

    internal LlamaContext(LlamaModel model, bool exact, int length, int threads)
    {
        _model = model;
        Parameters parameters = ((delegate* unmanaged[Cdecl]<Parameters>)model.Engine.Llama("llama_context_default_params"))();
        parameters.Set(0, length); // n_ctx
        parameters.Set(28, exact ? 1 : threads); // n_threads
        parameters.Set(32, exact ? 1 : threads); // n_threads_batch
        if (exact)
        {
            parameters.Set(52, 0); // flash attention off
            parameters.Set(104, 0); // type_k F32
            parameters.Set(108, 0); // type_v F32
        }
        _context = ((delegate* unmanaged[Cdecl]<nint, Parameters, nint>)model.Engine.Llama("llama_init_from_model"))(model.Handle, parameters);
        if (_context == 0) throw LlamaEngine.Refused("a context of the model");
    }

    /// <summary>Takes the logits of one position.</summary>
    /// <param name="position">Position, from 0.</param>
    /// <param name="logits">One for every token; valid during the call.</param>
    public delegate void Receiver(int position, ReadOnlySpan<float> logits);

    /// <summary>Forgets what was run.</summary>
    public void Clear()
    {
        nint memory = ((delegate* unmanaged[Cdecl]<nint, nint>)_model.Engine.Llama("llama_get_memory"))(_context);
        ((delegate* unmanaged[Cdecl]<nint, byte, void>)_model.Engine.Llama("llama_memory_clear"))(memory, 1);
    }

    /// <summary>Goes on with tokens and gives the logits of each.</summary>
    /// <param name="ids">The tokens.</param>
    /// <param name="start">Position of the first of them: how many were run since the start.</param>
    /// <param name="receive">Given the logits in order.</param>
    public void Append(ReadOnlySpan<int> ids, int start, Receiver receive)
    {
        for (int done = 0; done < ids.Length; done += BatchSize) Decode(ids.Slice(done, Math.Min(BatchSize, ids.Length - done)), start + done, receive);
    }

    /// <summary>Runs a sequence from its first token and gives the logits of every position.</summary>
    public void Run(ReadOnlySpan<int> ids, Receiver receive)
    {
        Clear();
        Append(ids, 0, receive);
    }

    /// <summary>Logits of every position, row-major [ids, vocabulary].</summary>
    public float[] Logits(ReadOnlySpan<int> ids)
    {
        float[] all = new float[ids.Length * _model.VocabularySize];
        Run(ids, (position, logits) => logits.CopyTo(all.AsSpan(position * logits.Length)));
        return all;
    }

    /// <summary>Goes on from a prompt by the likeliest token each time.</summary>
    /// <param name="prompt">Ids.</param>
    /// <param name="count">Tokens to add.</param>
    /// <returns>The tokens added.</returns>
    public int[] Generate(ReadOnlySpan<int> prompt, int count)
    {
        int next = 0;
        Receiver choose = (_, logits) => next = Likeliest(logits);
        Run(prompt, choose);
        int[] added = new int[count];
        for (int i = 0; i < count; i++)
        {
            added[i] = next;
            Decode([next], prompt.Length + i, choose);
        }
        return added;
    }

    /// <summary>Replaces the whole set of adapters; an empty set removes them.</summary>
    public void SetAdapters(params (nint Adapter, float Scale)[] set)
    {
        // One element more, because the address of nothing is null.
        nint[] adapters = [.. set.Select(entry => entry.Adapter), 0];
        float[] scales = [.. set.Select(entry => entry.Scale), 0];
        fixed (nint* first = adapters)
        fixed (float* scale = scales)
        {
            int failed = ((delegate* unmanaged[Cdecl]<nint, nint*, nuint, float*, int>)_model.Engine.Llama("llama_set_adapters_lora"))(
                _context, first, (nuint)set.Length, scale);
            if (failed != 0) throw LlamaEngine.Refused("the adapters");
        }
    }

    /// <inheritdoc/>
    public void Dispose() => ((delegate* unmanaged[Cdecl]<nint, void>)_model.Engine.Llama("llama_free"))(_context);

    private static int Likeliest(ReadOnlySpan<float> logits)
    {
        int best = 0;
        for (int i = 1; i < logits.Length; i++)
        {
            if (logits[i] > logits[best]) best = i;
        }
        return best;
    }

    private void Decode(ReadOnlySpan<int> ids, int start, Receiver receive)
    {
        Batch batch = ((delegate* unmanaged[Cdecl]<int, int, int, Batch>)_model.Engine.Llama("llama_batch_init"))(ids.Length, 0, 1);
        try
        {
            for (int i = 0; i < ids.Length; i++)
            {
                batch.Token[i] = ids[i];
                batch.Position[i] = start + i;
                batch.SequenceCount[i] = 1;
                batch.Sequence[i][0] = 0;
                batch.Logits[i] = 1;
            }
            batch.Count = ids.Length;
            int failed = ((delegate* unmanaged[Cdecl]<nint, Batch, int>)_model.Engine.Llama("llama_decode"))(_context, batch);
            if (failed != 0) throw new InvalidOperationException($"llama_decode returns {failed}.");
            var logits = (delegate* unmanaged[Cdecl]<nint, int, float*>)_model.Engine.Llama("llama_get_logits_ith");
            for (int i = 0; i < ids.Length; i++) receive(start + i, new ReadOnlySpan<float>(logits(_context, i), _model.VocabularySize));
        }
        finally
        {
            ((delegate* unmanaged[Cdecl]<Batch, void>)_model.Engine.Llama("llama_batch_free"))(batch);
        }
    }
}
