//! Operators that ONNX Runtime has and tract has not, or has otherwise: attention with a cache that lies where it lies, and a norm as
//! one step. A graph with them has a quarter of the steps of what PyTorch writes, so that it is planned in a fraction of the
//! time, and no run copies what was read before.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::{TValue, TVec, TractResult, tvec};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::math::mul;
use tract_onnx::tract_core::ops::nn::RmsNorm;
use tract_onnx::tract_core::tract_linalg::routines::Func;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::logic::wire_with_rank_broadcast;

type Parsed = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// tract with these.
pub fn onnx() -> tract_onnx::Onnx {
    let mut onnx = tract_onnx::onnx();
    onnx.op_register.insert("GroupQueryAttention", attention);
    onnx.op_register.insert("SimplifiedLayerNormalization", norm);
    onnx
}

fn attention(_: &ParsingContext, node: &NodeProto) -> Parsed {
    let heads: usize = node.get_attr("num_heads")?;
    ensure!(node.get_attr::<usize>("kv_num_heads")? == heads, "heads of keys and values are as many as of queries");
    ensure!(node.get_attr::<i64>("do_rotary")? == 1, "queries and keys are turned by their positions");
    Ok((expand(Attention { heads, scale: node.get_attr("scale")? }), vec![]))
}

fn norm(_: &ParsingContext, node: &NodeProto) -> Parsed {
    ensure!(node.get_attr_opt::<i64>("axis")?.unwrap_or(-1) == -1, "norms are those of the last axis");
    let epsilon = node.get_attr_opt("epsilon")?.unwrap_or(1e-5);
    Ok((expand(Norm { epsilon }), vec![]))
}

/// The root mean square of each row becomes 1; then each column is multiplied.
#[derive(Debug, Clone)]
struct Norm {
    epsilon: f32,
}

impl Expansion for Norm {
    fn name(&self) -> StaticName {
        "SimplifiedLayerNormalization".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, f32::datum_type())?;
        solver.equals(&outputs[0].datum_type, f32::datum_type())?;
        solver.equals(&outputs[0].shape, &inputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let axis = model.outlet_fact(inputs[0])?.rank().checked_sub(1).context("a number has no norm")?;
        let norm = RmsNorm { axis, eps: tensor0(self.epsilon).into_arc_tensor() };
        let are_ones = |factors: &Arc<Tensor>| -> TractResult<bool> {
            Ok(factors.try_as_plain_ram()?.as_slice::<f32>()?.iter().all(|factor| *factor == 1.0))
        };
        // As in what the graph was rewritten to.
        if model.outlet_fact(inputs[1])?.konst.as_ref().map_or(Ok(false), are_ones)? {
            return model.wire_node(prefix, norm, &inputs[..1]);
        }
        let normed = model.wire_node(format!("{prefix}.norm"), norm, &inputs[..1])?[0];
        wire_with_rank_broadcast(prefix, model, mul(), &[normed, inputs[1]])
    }
}

/// ONNX Runtime's `GroupQueryAttention`, as `model/graph/attention.rs` writes it.
///
/// | inputs | |
/// |---|---|
/// | queries, keys, values | f32 [1, T, heads · size], of T tokens one after the other |
/// | keys and values before | f32 [1, heads, places, size] |
/// | last, total | i32 \[1\]: the place of the last token, and that and one |
/// | cosines, sines | f32 [places, size / 2]: by which angle a place is turned |
///
/// It says what was found, f32 [1, T, heads · size], and the keys and values before with those of the T tokens at
/// their places. Where nobody else holds these tensors they are changed where they are, and no number is copied.
#[derive(Debug, Clone, PartialEq)]
struct Attention {
    heads: usize,
    scale: f32,
}

impl Eq for Attention {}

impl Expansion for Attention {
    fn name(&self) -> StaticName {
        Op::name(self)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(3)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 9)?;
        check_output_arity(outputs, 3)?;
        for (output, input) in [(0, 0), (1, 3), (2, 4)] {
            solver.equals(&outputs[output].datum_type, &inputs[input].datum_type)?;
            solver.equals(&outputs[output].shape, &inputs[input].shape)?;
        }
        Ok(())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for Attention {
    fn name(&self) -> StaticName {
        "GroupQueryAttention".into()
    }

    op_as_typed_op!();
}

impl TypedOp for Attention {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [queries, keys, values, past_keys, past_values, .., cosines, sines] = inputs else {
            bail!("it has nine inputs");
        };
        let places = past_keys.shape.get(2).context("a cache has places")?;
        let size = past_keys.shape.get(3).context("a cache has numbers")?;
        let cache: TVec<TDim> = tvec![1.to_dim(), self.heads.to_dim(), places.clone(), size.clone()];
        let tokens = queries.shape.get(1).context("there are tokens")?;
        let joined: TVec<TDim> = tvec![1.to_dim(), tokens.clone(), size.clone() * self.heads];
        let angles: TVec<TDim> = tvec![places.clone(), size.clone() / 2];
        let fits = [
            (queries, &joined),
            (keys, &joined),
            (values, &joined),
            (past_keys, &cache),
            (past_values, &cache),
            (cosines, &angles),
            (sines, &angles),
        ];
        for (fact, shape) in fits {
            ensure!(fact.datum_type == f32::datum_type() && fact.shape.dims() == &**shape, "{fact:?} is not {shape:?}");
        }
        Ok(tvec![f32::fact(joined), f32::fact(cache.clone()), f32::fact(cache)])
    }

    as_op!();
}

impl EvalOp for Attention {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let [mut past_keys, mut past_values] = [inputs.remove(3), inputs.remove(3)].map(|cache| cache.into_tensor());
        let [queries, keys, values, last, _, cosines, sines] = &*inputs else { bail!("it has nine inputs") };
        let (tokens, places, size) = (queries.shape()[1], past_keys.shape()[2], past_keys.shape()[3]);
        let last = usize::try_from(last.try_as_plain_ram()?.as_slice::<i32>()?[0])?;
        let Some(past) = (last + 1).checked_sub(tokens).filter(|_| last < places) else {
            bail!("{tokens} tokens up to place {last} of {places}");
        };
        let mut found = Tensor::zero::<f32>(queries.shape())?;
        {
            let [queries, keys, values, cosines, sines] = [queries, keys, values, cosines, sines].map(numbers);
            let angles = Angles { cosines: cosines?, sines: sines?, size };
            let (mut past_keys, mut past_values) =
                (past_keys.try_as_plain_ram_mut()?, past_values.try_as_plain_ram_mut()?);
            let mut found = found.try_as_plain_ram_mut()?;
            Heads { past, size, width: self.heads * size, places, scale: self.scale }.attend(
                [queries?, keys?, values?],
                &angles,
                [past_keys.as_slice_mut()?, past_values.as_slice_mut()?],
                found.as_slice_mut()?,
            )?;
        }
        Ok(tvec![found.into_tvalue(), past_keys.into_tvalue(), past_values.into_tvalue()])
    }
}

fn numbers(tensor: &TValue) -> TractResult<&[f32]> {
    tensor.try_as_plain_ram()?.as_slice()
}

struct Angles<'a> {
    cosines: &'a [f32],
    sines: &'a [f32],
    size: usize,
}

impl Angles<'_> {
    /// Turns the pairs of numbers that stand half a head apart, each by its angle (https://arxiv.org/abs/2104.09864).
    fn turn(&self, place: usize, head: &[f32], turned: &mut [f32]) {
        let half = self.size / 2;
        let angle = place * half..(place + 1) * half;
        let ((first, second), (to_first, to_second)) = (head.split_at(half), turned.split_at_mut(half));
        let angles = self.cosines[angle.clone()].iter().zip(&self.sines[angle]);
        let pairs = first.iter().zip(second).zip(to_first.iter_mut().zip(to_second));
        for (((one, other), (to_one, to_other)), (cosine, sine)) in pairs.zip(angles) {
            *to_one = one * cosine - other * sine;
            *to_other = other * cosine + one * sine;
        }
    }
}

struct Heads {
    /// Tokens that were read before.
    past: usize,
    /// Of a head.
    size: usize,
    /// Of all heads.
    width: usize,
    places: usize,
    scale: f32,
}

impl Heads {
    /// Each token looks at those before it and at itself. What it finds depends on no other, to the last bit.
    fn attend(
        &self,
        [queries, keys, values]: [&[f32]; 3],
        angles: &Angles<'_>,
        [past_keys, past_values]: [&mut [f32]; 2],
        found: &mut [f32],
    ) -> TractResult<()> {
        let &Self { past, size, width, places, scale } = self;
        let exponential = Func::Exp.ew_f32()?;
        let tokens = queries.len() / width;
        let mut weights = vec![0.0; past + tokens];
        let mut query = vec![0.0; size];
        for head in 0..width / size {
            let cache = head * places * size..(head + 1) * places * size;
            let (all_keys, all_values) = (&mut past_keys[cache.clone()], &mut past_values[cache]);
            let of_token = |token: usize| token * width + head * size..token * width + (head + 1) * size;
            for token in 0..tokens {
                let place = past + token;
                let at = place * size..(place + 1) * size;
                angles.turn(place, &keys[of_token(token)], &mut all_keys[at.clone()]);
                all_values[at].copy_from_slice(&values[of_token(token)]);
            }
            for token in 0..tokens {
                let seen = past + token + 1;
                angles.turn(past + token, &queries[of_token(token)], &mut query);
                query.iter_mut().for_each(|number| *number *= scale);
                let weights = &mut weights[..seen];
                let mut highest = f32::NEG_INFINITY;
                for (weight, key) in weights.iter_mut().zip(all_keys.chunks_exact(size)) {
                    *weight = product(&query, key);
                    highest = highest.max(*weight);
                }
                weights.iter_mut().for_each(|weight| *weight -= highest);
                exponential.run(weights)?;
                let total: f32 = weights.iter().sum();
                let result = &mut found[of_token(token)];
                for (weight, value) in weights.iter().zip(all_values.chunks_exact(size)) {
                    result.iter_mut().zip(value).for_each(|(sum, number)| *sum += weight * number);
                }
                result.iter_mut().for_each(|sum| *sum /= total);
            }
        }
        Ok(())
    }
}

/// In sums of every eighth number, which a processor adds up side by side.
fn product(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (ones, others) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    for (one, other) in ones.0.iter().zip(others.0) {
        sums.iter_mut().zip(one.iter().zip(other)).for_each(|(sum, (one, other))| *sum += one * other);
    }
    let rest: f32 = ones.1.iter().zip(others.1).map(|(one, other)| one * other).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: usize = 2;
    const SIZE: usize = 4;
    const PLACES: usize = 12;

    /// Numbers that look like nothing in particular.
    fn tensor(shape: &[usize], seed: usize) -> Tensor {
        let numbers: Vec<f32> = (0..shape.iter().product()).map(|at| ((at * 7 + seed * 13) as f32).sin()).collect();
        Tensor::from_shape(shape, &numbers).expect("as many as the shape says")
    }

    fn run(past: &[TValue; 2], tokens: usize, last: i32) -> TractResult<TVec<TValue>> {
        let of_tokens = |seed| tensor(&[1, 8, HEADS * SIZE], seed).slice(1, 0, tokens);
        let angle = |of: fn(f32) -> f32| {
            let numbers: Vec<f32> = (0..PLACES * SIZE / 2).map(|at| of(at as f32 / 3.0)).collect();
            Tensor::from_shape(&[PLACES, SIZE / 2], &numbers)
        };
        let mut inputs = tvec![of_tokens(1)?.into_tvalue(), of_tokens(2)?.into_tvalue(), of_tokens(3)?.into_tvalue()];
        inputs.extend(past.iter().cloned());
        inputs.extend([tensor1(&[last]).into_tvalue(), tensor1(&[last + 1]).into_tvalue()]);
        inputs.extend([angle(f32::cos)?.into_tvalue(), angle(f32::sin)?.into_tvalue()]);
        Attention { heads: HEADS, scale: 0.6 }.eval(&EvalContext::out_of_plan(), inputs)
    }

    fn caches() -> [TValue; 2] {
        [4, 5].map(|seed| tensor(&[1, HEADS, PLACES, SIZE], seed).into_tvalue())
    }

    /// The first of so many tokens.
    fn first(found: &TValue, tokens: usize) -> Vec<u32> {
        let numbers = numbers(found).expect("it is of numbers");
        numbers[..tokens * HEADS * SIZE].iter().map(|number| number.to_bits()).collect()
    }

    #[test]
    fn a_norm_multiplies_its_columns_where_they_have_factors() {
        let normed = |factors: [f32; 4]| -> TractResult<Vec<f32>> {
            let mut model = TypedModel::default();
            let rows = model.add_source("rows", f32::fact([2, 4]))?;
            let factors = model.add_const("factors", tensor1(&factors))?;
            let outputs = Norm { epsilon: 0.0 }.wire("norm", &mut model, &[rows, factors])?;
            model.select_output_outlets(&outputs)?;
            let rows = tensor2(&[[1.0_f32, -1.0, 1.0, 1.0], [4.0, 0.0, 0.0, 0.0]]);
            let found = model.into_runnable()?.run(tvec![rows.into_tvalue()])?;
            Ok(numbers(&found[0])?.to_vec())
        };
        let apart = |found: Vec<f32>, wanted: [f32; 8]| {
            found.iter().zip(wanted).map(|(found, wanted)| (found - wanted).abs()).fold(0.0, f32::max)
        };
        let plain = normed([1.0; 4]).expect("it can be planned");
        assert!(apart(plain, [1.0, -1.0, 1.0, 1.0, 2.0, 0.0, 0.0, 0.0]) < 1e-5);
        let multiplied = normed([3.0, 2.0, 1.0, 0.5]).expect("it can be planned");
        assert!(apart(multiplied, [3.0, -2.0, 1.0, 0.5, 6.0, 0.0, 0.0, 0.0]) < 1e-5);
    }

    #[test]
    fn what_a_token_finds_depends_on_none_after_it_and_not_on_what_lay_there() {
        let many = run(&caches(), 6, 8).expect("they fit");
        let few = run(&caches(), 2, 4).expect("they fit");
        assert_eq!(first(&many[0], 2), first(&few[0], 2));
        // Those of the two are read from the cache now, and where the others were is read nothing.
        let after = run(&[many[1].clone(), many[2].clone()], 2, 4).expect("they fit");
        assert_eq!(first(&after[0], 2), first(&few[0], 2));
    }

    #[test]
    fn only_the_tokens_places_are_written() {
        let before = caches();
        let found = run(&before, 3, 6).expect("they fit");
        for (before, after) in before.iter().zip(&found[1..]) {
            let (before, after) = (numbers(before).expect("numbers"), numbers(after).expect("numbers"));
            let places = before.chunks(SIZE).zip(after.chunks(SIZE)).enumerate();
            for (at, (before, after)) in places {
                assert_eq!((4..7).contains(&(at % PLACES)), before != after, "row {at}");
            }
        }
    }

    #[test]
    fn tokens_beyond_the_cache_are_refused() {
        for (tokens, last) in [(2, PLACES as i32), (4, 2), (1, -1)] {
            assert!(run(&caches(), tokens, last).is_err(), "{tokens} up to {last}");
        }
        assert!(run(&caches(), 4, 3).is_ok());
    }
}
